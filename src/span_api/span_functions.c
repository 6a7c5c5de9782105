/*
 * span_functions.c: the SQL functions for spans.
 *
 * Each reads its arguments (span_args.c) and then changes one span (span.c).  None is strict: a
 * NULL argument means its default.  They do nothing while spans are being written to the queue,
 * when only an expression of an index on the queue can call them.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/timestamp.h"

#include "context/trace_context.h"
#include "settings.h"
#include "spans/span.h"
#include "spans/span_flush.h"
#include "span_api/span_args.h"

/* A span without a name is started as a no-op, so that starts and ends stay paired. */
static void
set_name(SpanStart *start, const char *name)
{
	start->name = name ? name : "";
	start->no_op = name == NULL || otel_sdk_disabled;
}

static Datum
return_context(FunctionCallInfo fcinfo, const struct varlena *context)
{
	if (context == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(trace_context_copy(context, CurrentMemoryContext));
}

/* start_span(name, links, kind, attributes, parent, root, start_time, scope) */
PG_FUNCTION_INFO_V1(otel_start_span);
Datum
otel_start_span(PG_FUNCTION_ARGS)
{
	SpanStart	start = {0};
	Datum		context;

	if (span_flushing)
		PG_RETURN_NULL();
	set_name(&start, span_arg_name(fcinfo, 0));
	start.links = span_arg_links(fcinfo, 1, &start.nlinks);
	start.kind = span_arg_kind(fcinfo, 2);
	start.attributes = span_arg_attributes(fcinfo, 3);
	start.parent = span_arg_parent(fcinfo, 4, 5);
	start.start_time = span_arg_time(fcinfo, 6);
	start.scope = span_arg_scope(fcinfo, 7);
	context = return_context(fcinfo, span_start(&start, true)->context);
	span_flush_bound_waiting();
	return context;
}

/* end_span(status, message, attributes, span, end_time) */
PG_FUNCTION_INFO_V1(otel_end_span);
Datum
otel_end_span(PG_FUNCTION_ARGS)
{
	SpanStatus	status = span_arg_status(fcinfo, 0);
	const char *message = span_arg_text(fcinfo, 1);
	Jsonb	   *attributes = span_arg_attributes(fcinfo, 2);
	TimestampTz end_time = span_arg_time(fcinfo, 4);
	Span	   *span = span_arg_span(fcinfo, 3);

	if (span == NULL)
		PG_RETURN_VOID();
	if (attributes && span->recording)
		span_set_attributes(span, attributes);
	if (span->recording)
		span_set_status(span, status, message);
	span_end(span, end_time);
	span_flush_bound_waiting();
	PG_RETURN_VOID();
}

/*
 * record_span(name, start_time, end_time, links, kind, attributes, parent, root, status, message):
 * a finished span in one call.  It is never on the stack.
 */
PG_FUNCTION_INFO_V1(otel_record_span);
Datum
otel_record_span(PG_FUNCTION_ARGS)
{
	SpanStart	start = {0};
	TimestampTz end_time;
	SpanStatus	status;
	const char *message;
	Span	   *span;
	Datum		context;

	if (span_flushing)
		PG_RETURN_NULL();
	set_name(&start, span_arg_name(fcinfo, 0));
	start.start_time = span_arg_time(fcinfo, 1);
	end_time = span_arg_time(fcinfo, 2);
	start.links = span_arg_links(fcinfo, 3, &start.nlinks);
	start.kind = span_arg_kind(fcinfo, 4);
	start.attributes = span_arg_attributes(fcinfo, 5);
	start.parent = span_arg_parent(fcinfo, 6, 7);
	status = span_arg_status(fcinfo, 8);
	message = span_arg_text(fcinfo, 9);

	span = span_start(&start, false);
	if (span->recording)
		span_set_status(span, status, message);
	context = return_context(fcinfo, span->context);
	span_end(span, end_time);
	span_flush_bound_waiting();
	return context;
}

/* set_attributes(attributes, span) */
PG_FUNCTION_INFO_V1(otel_set_attributes);
Datum
otel_set_attributes(PG_FUNCTION_ARGS)
{
	Jsonb	   *attributes = span_arg_attributes(fcinfo, 0);
	Span	   *span = span_arg_span(fcinfo, 1);

	if (attributes && span && span->recording)
		span_set_attributes(span, attributes);
	PG_RETURN_VOID();
}

/* add_links(links, span) */
PG_FUNCTION_INFO_V1(otel_add_links);
Datum
otel_add_links(PG_FUNCTION_ARGS)
{
	int			nlinks;
	SpanLink   *links = span_arg_links(fcinfo, 0, &nlinks);
	Span	   *span = span_arg_span(fcinfo, 1);

	if (span && span->recording)
		span_add_links(span, links, nlinks);
	PG_RETURN_VOID();
}

/* add_event(name, attributes, time, span) */
PG_FUNCTION_INFO_V1(otel_add_event);
Datum
otel_add_event(PG_FUNCTION_ARGS)
{
	const char *name = span_arg_name(fcinfo, 0);
	Jsonb	   *attributes = span_arg_attributes(fcinfo, 1);
	TimestampTz time = span_arg_time(fcinfo, 2);
	Span	   *span = span_arg_span(fcinfo, 3);

	if (name && span && span->recording)
		span_add_event(span, name, time, attributes);
	PG_RETURN_VOID();
}

/* set_status(status, message, span) */
PG_FUNCTION_INFO_V1(otel_set_status);
Datum
otel_set_status(PG_FUNCTION_ARGS)
{
	SpanStatus	status = span_arg_status(fcinfo, 0);
	const char *message = span_arg_text(fcinfo, 1);
	Span	   *span = span_arg_span(fcinfo, 2);

	if (span && span->recording)
		span_set_status(span, status, message);
	PG_RETURN_VOID();
}

/* update_name(name, span) */
PG_FUNCTION_INFO_V1(otel_update_name);
Datum
otel_update_name(PG_FUNCTION_ARGS)
{
	const char *name = span_arg_name(fcinfo, 0);
	Span	   *span = span_arg_span(fcinfo, 1);

	if (name && span && span->recording)
		span_set_name(span, name);
	PG_RETURN_VOID();
}

/*
 * discard_span(span): as if it had never been started.  Spans that were started in it keep its id
 * as their parent's.
 */
PG_FUNCTION_INFO_V1(otel_discard_span);
Datum
otel_discard_span(PG_FUNCTION_ARGS)
{
	Span	   *span = span_arg_span(fcinfo, 0);

	if (span == NULL)
		PG_RETURN_VOID();
	if (!span->ended)
		span_pop(span);
	span_forget(span);
	PG_RETURN_VOID();
}
