/*
 * request_headers.h: a context from the setting request.headers that PostgREST makes.
 */
#ifndef OTEL_LINKS_REQUEST_HEADERS_H
#define OTEL_LINKS_REQUEST_HEADERS_H

#include "postgres.h"

/*
 * Reads a JSON object of header names and values; NULL when it holds no valid traceparent, or two, or
 * is no JSON.  The result is in CurrentMemoryContext.  Never raises for what the text may hold.
 */
extern struct varlena *request_headers_context(const char *json);

#endif
