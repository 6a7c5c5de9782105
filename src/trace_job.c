/*
 * trace_job.c: CALL otel.trace_job(name, statement, …), a statement within a span of its own.
 *
 * For pg_cron and other runners that hand one statement to the server.  No subtransaction: the statement
 * may be a CALL that commits.  When it fails, the error is noted in memory, where the rollback does not
 * reach it, and goes on unchanged; the span becomes a row as span_xact.c has it.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/timestamp.h"

#include "exception.h"
#include "settings.h"
#include "span.h"
#include "span_args.h"

/* Runs the statement; where it may, with transaction control. */
static void
run_statement(const char *statement, bool nonatomic)
{
	SPIExecuteOptions options = {0};
	int			result;

	SPI_connect_ext(nonatomic ? SPI_OPT_NONATOMIC : 0);
	options.allow_nonatomic = nonatomic;
	result = SPI_execute_extended(statement, &options);
	if (result == SPI_ERROR_TRANSACTION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a job's statement cannot be a transaction command"),
				 errhint("Put it into a procedure, and give a CALL of it.")));
	if (result == SPI_ERROR_COPY)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a job's statement cannot COPY to or from the client")));
	if (result < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("a job's statement failed: %s", SPI_result_code_string(result))));
	SPI_finish();
}

/* Completes the span with the error that is being raised, unless the statement itself has ended it. */
static void
end_with_error(const struct varlena *context, MemoryContext memory)
{
	MemoryContext caller = MemoryContextSwitchTo(memory);
	ErrorData  *error = CopyErrorData();
	const char *sqlstate = unpack_sql_state(error->sqlerrcode);
	Span	   *span = context ? span_find(context) : NULL;

	if (span && !span->ended)
	{
		if (span->recording)
		{
			exception_record(span, sqlstate, error->message, error->context, NULL);
			span_set_attributes(span, exception_error_attributes(sqlstate));
			span_set_status(span, SPAN_STATUS_ERROR, error->message);
		}
		span_end(span, Max(GetCurrentTimestamp(), span->start_time));
	}
	FreeErrorData(error);
	MemoryContextSwitchTo(caller);
}

/* trace_job(name, statement, links, attributes, kind) */
PG_FUNCTION_INFO_V1(otel_trace_job);
Datum
otel_trace_job(PG_FUNCTION_ARGS)
{
	CallContext *call = (CallContext *) fcinfo->context;
	bool		nonatomic = call && IsA(call, CallContext) && !call->atomic;
	MemoryContext memory = CurrentMemoryContext;
	SpanStart	start = {0};
	const char *name = span_arg_name(fcinfo, 0);
	char	   *statement = span_arg_text(fcinfo, 1);
	struct varlena *context;
	Span	   *span;

	if (statement == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a job's statement must not be NULL")));
	start.name = name ? name : "";
	start.no_op = name == NULL || otel_sdk_disabled;
	start.links = span_arg_links(fcinfo, 2);
	start.attributes = span_arg_attributes(fcinfo, 3);
	start.kind = span_arg_kind(fcinfo, 4);
	start.start_time = GetCurrentTimestamp();
	span = span_start(&start, true);
	context = span->context == NULL || start.no_op ? NULL :
		(struct varlena *) PG_DETOAST_DATUM_COPY(PointerGetDatum(span->context));

	PG_TRY();
	{
		run_statement(statement, nonatomic);
	}
	PG_CATCH();
	{
		end_with_error(context, memory);
		PG_RE_THROW();
	}
	PG_END_TRY();

	span = context ? span_find(context) : span_stack_top();
	if (span && !span->ended)
		span_end(span, Max(GetCurrentTimestamp(), span->start_time));
	span_xact_bound_waiting();
	PG_RETURN_VOID();
}
