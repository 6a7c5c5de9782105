/*
 * record_exception.h: records an error the way OpenTelemetry describes exceptions.
 */
#ifndef OTEL_LINKS_RECORD_EXCEPTION_H
#define OTEL_LINKS_RECORD_EXCEPTION_H

#include "postgres.h"
#include "utils/jsonb.h"
#include "spans/span.h"

/*
 * Adds the event "exception" (OpenTelemetry semantic conventions, Exceptions in spans) with
 * exception.type, exception.message and exception.stacktrace, each unless it is NULL.  attributes,
 * which may be NULL, take precedence over these.
 */
extern void exception_record(Span *span, const char *sqlstate, const char *message,
							 const char *stacktrace, Jsonb *attributes);

/* {"error.type": condition name, "db.response.status_code": SQLSTATE} */
extern Jsonb *exception_error_attributes(const char *sqlstate);

#endif
