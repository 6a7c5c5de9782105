/*
 * postgrest.h: the context in PostgREST's setting request.headers.
 */
#ifndef OTEL_LINKS_POSTGREST_H
#define OTEL_LINKS_POSTGREST_H

#include "postgres.h"

/*
 * Reads a JSON object of header names and values.  NULL when it holds no valid traceparent, or two,
 * or is not JSON.  The result is in CurrentMemoryContext.  No text makes it raise an error.
 */
extern struct varlena *postgrest_context(const char *json);

#endif
