/*
 * record_exception.c: otel.record_exception(), and how an error becomes an event of a span.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "spans/attribute_limits.h"
#include "span_api/condition_names.h"
#include "span_api/record_exception.h"
#include "span_api/span_args.h"

static int
compare_sqlstate(const void *key, const void *entry)
{
	return strcmp(key, entry);	/* an entry begins with its SQLSTATE */
}

/* The condition name of a SQLSTATE ("division_by_zero"), or the SQLSTATE if it has none. */
static const char *
condition_name(const char *sqlstate)
{
	const void *entry = bsearch(sqlstate, condition_names, lengthof(condition_names),
								sizeof(condition_names[0]), compare_sqlstate);
	Size		i;

	if (entry == NULL)
		return sqlstate;
	i = ((const char *) entry - (const char *) condition_names) / sizeof(condition_names[0]);
	return condition_names[i].name;
}

void
exception_record(Span *span, const char *sqlstate, const char *message,
				 const char *stacktrace, Jsonb *attributes)
{
	const char *keys[] = {"exception.type", "exception.message", "exception.stacktrace"};
	const char *type = sqlstate ? condition_name(sqlstate) : NULL;
	const char *values[] = {type, message, stacktrace};
	Jsonb	   *event = attributes_from_strings(lengthof(keys), keys, values);

	if (attributes)
		event = DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(event),
												   JsonbPGetDatum(attributes)));
	span_add_event(span, "exception", GetCurrentTimestamp(), event);
}

Jsonb *
exception_error_attributes(const char *sqlstate)
{
	const char *keys[] = {"error.type", "db.response.status_code"};
	const char *values[] = {condition_name(sqlstate), sqlstate};

	return attributes_from_strings(lengthof(keys), keys, values);
}

/* record_exception(sqlstate, message, stacktrace, attributes, span) */
PG_FUNCTION_INFO_V1(otel_record_exception);
Datum
otel_record_exception(PG_FUNCTION_ARGS)
{
	const char *sqlstate = span_arg_text(fcinfo, 0);
	const char *message = span_arg_text(fcinfo, 1);
	const char *stacktrace = span_arg_text(fcinfo, 2);
	Jsonb	   *attributes = span_arg_attributes(fcinfo, 3);
	Span	   *span = span_arg_span(fcinfo, 4);

	if (sqlstate == NULL && message == NULL)
	{
		span_misuse(ERRCODE_INVALID_PARAMETER_VALUE, "an exception needs a SQLSTATE or a message",
					"Call otel.record_exception(SQLSTATE, SQLERRM) in an EXCEPTION block.");
		PG_RETURN_VOID();
	}
	if (span == NULL || !span->recording)
		PG_RETURN_VOID();
	if (stacktrace == NULL)
		stacktrace = GetErrorContextStack();
	if (stacktrace && *stacktrace == '\0')
		stacktrace = NULL;
	exception_record(span, sqlstate, message, stacktrace, attributes);
	PG_RETURN_VOID();
}
