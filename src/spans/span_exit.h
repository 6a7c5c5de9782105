/*
 * span_exit.h: what becomes of a session's spans when the session ends.
 */
#ifndef OTEL_LINKS_SPAN_EXIT_H
#define OTEL_LINKS_SPAN_EXIT_H

#include "postgres.h"

/* Has the process begun to exit? */
extern bool span_exiting;

/*
 * Registers the callback for the session's exit.  Called before a span exists or is counted; more
 * than one call does no harm.
 */
extern void span_exit_init(void);

#endif
