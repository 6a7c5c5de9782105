/*
 * trace_job.c: CALL otel.trace_job(name, statement, …) runs a job within a span of its own.
 *
 * It is for pg_cron and other schedulers that send one string to the server.  There is no
 * subtransaction, so that the job may CALL a procedure that commits.  When the job fails, the error
 * is noted in the span, in memory that the rollback does not touch, and re-thrown unchanged;
 * span_flush.c writes the span to the queue later.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "nodes/parsenodes.h"
#include "parser/scansup.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "capture/current_context.h"
#include "span_api/record_exception.h"
#include "settings.h"
#include "spans/span.h"
#include "spans/span_flush.h"
#include "span_api/span_args.h"

/* Maximum bytes of an error's message, and of its context, in a span. */
#define ERROR_TEXT_LIMIT (64 * 1024)

/* ---- the job ---- */

/* Has the position of a syntax error refer to the job, not to the CALL of trace_job. */
static void
show_position_in_job(void *job)
{
	int			position = geterrposition();

	if (position <= 0)
		return;
	errposition(0);
	internalerrposition(position);
	internalerrquery(job);
}

/* Parses the job into statements, in CurrentMemoryContext. */
static List *
parse(const char *job)
{
	ErrorContextCallback callback;
	List	   *statements;

	callback.callback = show_position_in_job;
	callback.arg = unconstify(char *, job);
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	statements = pg_parse_query(job);
	error_context_stack = callback.previous;
	return statements;
}

/*
 * Runs one statement of the job and discards its rows.  Only CALL and DO are run non-atomically:
 * SPI would run any other statement with the portal's snapshot, in which it could not see the
 * effects of the statement before it.
 */
static void
run_statement(const char *job, const RawStmt *statement, bool nonatomic)
{
	SPIExecuteOptions options = {0};
	const char *rest = job + statement->stmt_location;
	int			len = statement->stmt_len;
	char	   *text = len > 0 ? pnstrdup(rest, len) : pstrdup(rest);
	const char *begin = text;
	int			result;

	while (scanner_isspace(*begin))
		begin++;
	options.allow_nonatomic = nonatomic &&
		(IsA(statement->stmt, CallStmt) || IsA(statement->stmt, DoStmt));
	options.dest = CreateDestReceiver(DestNone);
	result = SPI_execute_extended(begin, &options);
	pfree(text);
	if (result == SPI_ERROR_TRANSACTION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a job cannot contain transaction commands"),
				 errhint("Put them into a procedure, and let the job CALL it.")));
	if (result == SPI_ERROR_COPY)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a job cannot COPY to or from the client")));
	if (result < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("a job's statement failed: %s", SPI_result_code_string(result))));
}

static void
run_job(const char *job, bool nonatomic)
{
	List	   *statements = parse(job);
	ListCell   *cell;

	SPI_connect_ext(nonatomic ? SPI_OPT_NONATOMIC : 0);
	foreach(cell, statements)
		run_statement(job, lfirst_node(RawStmt, cell), nonatomic);
	SPI_finish();
}

/* ---- its span ---- */

static void
end_span(Span *span)
{
	span_end(span, Max(GetCurrentTimestamp(), span->start_time));
}

/*
 * An error's text, cut to a length that a span can hold: it may quote the whole statement, and
 * jsonb allows no string of 256 MB.  It also ends before invalid bytes, because the texts of an
 * error need not be in the database's encoding.
 */
static const char *
clipped(const char *text)
{
	Size		size = text ? strnlen(text, ERROR_TEXT_LIMIT) : 0;

	return text ? pnstrdup(text, pg_encoding_verifymbstr(GetDatabaseEncoding(), text, size)) : NULL;
}

static void
record_error(Span *span, const ErrorData *error)
{
	const char *sqlstate = unpack_sql_state(error->sqlerrcode);
	const char *message = clipped(error->message);

	span_set_status(span, SPAN_STATUS_ERROR, message);
	exception_record(span, sqlstate, message, clipped(error->context), NULL);
	span_set_attributes(span, exception_error_attributes(sqlstate));
}

/*
 * Records in the span the error that is being raised, unless the job has ended the span itself.  If
 * that fails, because the span's attributes are as large as jsonb can be, the job's own error is
 * raised.  There is no subtransaction to clean up here, so nothing but memory may be touched.
 */
static void
end_with_error(uint64 serial, MemoryContext memory)
{
	MemoryContext caller = MemoryContextSwitchTo(memory);
	Span	   *span = span_find_serial(serial);

	if (span && span->recording)
	{
		ErrorData  *error = CopyErrorData();

		PG_TRY();
		{
			record_error(span, error);
		}
		PG_CATCH();
		{
			FlushErrorState();
			end_span(span);
			ReThrowError(error);
		}
		PG_END_TRY();
		FreeErrorData(error);
	}
	if (span)
		end_span(span);
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
	const char *job = span_arg_text(fcinfo, 1);
	uint64		serial = 0;		/* no span has this number */
	Span	   *span;

	if (job == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a job's statement must not be NULL")));
	start.name = name ? name : "";
	start.no_op = name == NULL || otel_sdk_disabled;
	start.links = span_arg_links(fcinfo, 2, &start.nlinks);
	start.attributes = span_arg_attributes(fcinfo, 3);
	start.kind = span_arg_kind(fcinfo, 4);
	start.parent = capture_current_context();
	start.start_time = GetCurrentTimestamp();
	if (!span_flushing)
		serial = span_start(&start, true)->serial;

	PG_TRY();
	{
		run_job(job, nonatomic);
	}
	PG_CATCH();
	{
		end_with_error(serial, memory);
		PG_RE_THROW();
	}
	PG_END_TRY();

	if ((span = span_find_serial(serial)) != NULL)
		end_span(span);
	span_flush_bound_waiting();
	PG_RETURN_VOID();
}
