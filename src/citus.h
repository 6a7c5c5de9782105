/*
 * citus.h: is Citus there?
 */
#ifndef OTEL_LINKS_CITUS_H
#define OTEL_LINKS_CITUS_H

#include "postgres.h"

/* Citus can only be preloaded, so the answer is the same all through a session.  Raises nothing. */
extern bool citus_is_loaded(void);

#endif
