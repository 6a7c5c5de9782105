/*
 * postgrest.h: a context from the setting request.headers that PostgREST makes.
 */
#ifndef OTEL_LINKS_POSTGREST_H
#define OTEL_LINKS_POSTGREST_H

#include "postgres.h"

/*
 * Reads a JSON object of header names and values; NULL when it holds no valid traceparent, or two,
 * or is no JSON.  The result is in CurrentMemoryContext.  Never raises for what the text may hold.
 */
extern struct varlena *postgrest_context(const char *json);

#endif
