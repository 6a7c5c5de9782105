/*
 * citus.h: is Citus loaded?
 */
#ifndef OTEL_LINKS_CITUS_H
#define OTEL_LINKS_CITUS_H

#include "postgres.h"

/* Citus can only be preloaded, so the answer never changes in a session.  Raises nothing. */
extern bool citus_is_loaded(void);

#endif
