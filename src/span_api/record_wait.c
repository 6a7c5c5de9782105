/*
 * record_wait.c: otel.record_wait() records the time that an item waited in its table, as a span in
 * the item's trace.
 *
 * The span is a child of the item's context and has a link to the innermost open span, which
 * processes the item.  So the trace of a request shows how long it waited, and leads to the batch
 * that took it.
 *
 * The function is called once for each item, in SELECT … FROM claimed.  So it skips items that it
 * cannot use, and gives each warning at most once in a statement.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "utils/timestamp.h"

#include "settings.h"
#include "span_api/span_args.h"
#include "spans/span.h"
#include "spans/span_flush.h"

/* Is this the first call in the running statement?  *statement remembers the statement. */
static bool
first_of_statement(TimestampTz *statement)
{
	TimestampTz now = GetCurrentStatementStartTimestamp();
	bool		first = *statement != now;

	*statement = now;
	return first;
}

/* The span that processes the item; NULL when the wait has nothing to link to. */
static const Span *
processing_span(void)
{
	static TimestampTz warned = 0;
	const Span *span = span_stack_top();

	if (span == NULL && !otel_sdk_disabled && first_of_statement(&warned))
		span_misuse(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "no span is open",
					"A wait is linked to the span that processes the item: start that one first, "
					"with otel.start_span.");
	return span && span->recording ? span : NULL;
}

/*
 * When the wait began.  That is never after its end, even if an application's clock is ahead of the
 * server's.
 */
static TimestampTz
wait_start(FunctionCallInfo fcinfo, int n, TimestampTz end)
{
	static TimestampTz warned = 0;
	TimestampTz start = span_arg_time(fcinfo, n);

	if (start <= end)
		return start;
	if (first_of_statement(&warned))
		span_misuse(ERRCODE_INVALID_PARAMETER_VALUE, "a wait cannot begin after now",
					"Is since a time in the future, or of another machine's clock?");
	return end;
}

/* record_wait(context, since, name, attributes) */
PG_FUNCTION_INFO_V1(otel_record_wait);
Datum
otel_record_wait(PG_FUNCTION_ARGS)
{
	SpanStart	start = {0};
	SpanLink	link = {0};
	const Span *processing;
	TimestampTz now;

	if (span_flushing || PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_VOID();
	start.parent = span_arg_context(fcinfo, 0);
	if (!trace_context_is_sampled(start.parent) ||
		(processing = processing_span()) == NULL)
		PG_RETURN_VOID();

	now = GetCurrentTimestamp();
	start.start_time = wait_start(fcinfo, 1, now);
	start.name = span_arg_text(fcinfo, 2);
	if (start.name == NULL || *start.name == '\0')
		start.name = psprintf("wait %s", processing->name);
	start.attributes = span_arg_attributes(fcinfo, 3);
	start.kind = SPAN_KIND_CONSUMER;
	link.context = processing->context;
	start.links = &link;
	start.nlinks = 1;
	start.anonymous = true;
	span_end(span_start(&start, false), now);
	span_flush_bound_waiting();
	PG_RETURN_VOID();
}
