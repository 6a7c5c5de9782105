/*
 * span_scope.c: spans and transactions: which spans end with one, and which are rolled back.
 *
 * Owns the callbacks of transactions and the scopes of spans.  span_flush.c turns spans into rows,
 * and span_exit.c handles the end of the session.
 *
 * A span that has ended waits in memory and becomes a row of the queue when its transaction
 * commits, as part of that transaction (XACT_EVENT_PRE_COMMIT, PRE_PREPARE).  So its status is
 * exported as the job set it only if the job's work commits.  The span stays in memory until the
 * commit is certain.
 *
 * Abort callbacks must not fail, so they only mark spans.  A span that started (with transaction
 * scope) or ended in a (sub)transaction that is rolled back gets status Error.  The session's next
 * writable transaction queues it; if there is none, a transaction of the exiting backend does.
 *
 * The scope of a span is its transaction or its top-level statement, whichever is longer.  A
 * statement that goes on after its transaction (CALL and DO that commit, VACUUM) still has an
 * active portal.  So a ROLLBACK in a procedure does not mark open spans: nobody knows yet how they
 * end.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "nodes/parsenodes.h"
#include "storage/ipc.h"
#include "tcop/pquery.h"
#include "utils/portal.h"
#include "utils/timestamp.h"

#include "spans/span.h"
#include "spans/span_exit.h"
#include "spans/span_flush.h"
#include "spans/span_scope.h"

/*
 * Does the client's statement go on after the transaction that now ends?  In a process that exits,
 * its portal may still be active, because other exit callbacks, such as the one that drops
 * temporary tables, abort the transaction before ours does.
 */
static bool
statement_goes_on(void)
{
	return PortalIsValid(ActivePortal) && !proc_exit_inprogress;
}

/* ---- scopes ---- */

void
span_scope_end(bool session)
{
	dlist_mutable_iter iter;
	TimestampTz now;
	const Span *first = NULL;

	if (dlist_is_empty(&span_open))
		return;
	now = GetCurrentTimestamp();
	dlist_foreach_modify(iter, &span_open)
	{
		Span	   *span = dlist_container(Span, node, iter.cur);

		if (span->scope == SPAN_SCOPE_SESSION && !session)
			continue;
		if (span->recording && first == NULL)
			first = span;
		span_end_by_scope(span, now);
	}
	if (first == NULL)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("span \"%s\" was open when its %s", first->name,
					session ? "session ended or was reset" : "transaction ended"),
			 errhint("End spans with otel.end_span; a job over several transactions starts its "
					 "span with scope => 'session'.")));
}

static void
before_end(FlushOccasion occasion)
{
	if (span_flushing || span_exiting)
		return;
	if (!statement_goes_on())
		span_scope_end(false);
	if (!dlist_is_empty(&span_waiting) && RecoveryInProgress())
		span_flush_drop_waiting();	/* a hot standby has no queue to write to */
	(void) span_flush(occasion);
}

/* Spans that are left after a transaction belong to none. */
static void
after_commit(void)
{
	dlist_iter	iter;

	span_flush_after_commit();
	dlist_foreach(iter, &span_open)
		dlist_container(Span, node, iter.cur)->start_subid = InvalidSubTransactionId;
	dlist_foreach(iter, &span_waiting)
	{
		Span	   *span = dlist_container(Span, node, iter.cur);

		span->start_subid = span->end_subid = InvalidSubTransactionId;
	}
}

/*
 * Open spans come first: those that end here are then among the waiting ones, which are marked if
 * they ended in the transaction.  Spans that stay open, because their session or statement goes on,
 * are not marked.
 */
static void
after_abort(void)
{
	dlist_mutable_iter iter;
	bool		goes_on = statement_goes_on();
	TimestampTz now = dlist_is_empty(&span_open) ? 0 : GetCurrentTimestamp();

	dlist_foreach_modify(iter, &span_open)
	{
		Span	   *span = dlist_container(Span, node, iter.cur);

		span->start_subid = InvalidSubTransactionId;
		if (span->scope == SPAN_SCOPE_TRANSACTION && !goes_on)
			span_end_by_scope(span, now);
	}
	dlist_foreach_modify(iter, &span_waiting)
	{
		Span	   *span = dlist_container(Span, node, iter.cur);

		span->rolled_back |= span->end_subid != InvalidSubTransactionId;
		span->start_subid = span->end_subid = InvalidSubTransactionId;
	}
	span_flush_after_abort();
}

static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			before_end(FLUSH_AT_COMMIT);
			break;
		case XACT_EVENT_PRE_PREPARE:
			before_end(FLUSH_AT_PREPARE);
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			after_commit();
			break;
		case XACT_EVENT_ABORT:
			after_abort();
			break;
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			break;
	}
}

/*
 * A subtransaction's spans become its parent's, and are marked if it aborts.  The waiting list is
 * in the order in which spans ended, so those that ended in the subtransaction are the last ones.
 */
static void
subxact_callback(SubXactEvent event, SubTransactionId subid, SubTransactionId parent,
				 void *arg)
{
	bool		aborted = event == SUBXACT_EVENT_ABORT_SUB;
	dlist_iter	iter;

	if (span_flushing || (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB))
		return;
	dlist_foreach(iter, &span_open)
	{
		Span	   *span = dlist_container(Span, node, iter.cur);

		if (span->start_subid != subid)
			continue;
		span->start_subid = parent;
		span->rolled_back |= aborted && span->scope == SPAN_SCOPE_TRANSACTION;
	}
	if (aborted)
		span_flush_after_subabort(subid);
	else
		span_flush_after_subcommit(subid, parent);
	dlist_reverse_foreach(iter, &span_waiting)
	{
		Span	   *span = dlist_container(Span, node, iter.cur);

		if (span->end_subid != subid)
			break;
		span->end_subid = parent;
		span->rolled_back |= aborted;
	}
}

bool
span_scope_is_reset(const Node *statement)
{
	/* not castNode(), which takes no const where assertions are compiled in */
	if (IsA(statement, DiscardStmt))
		return ((const DiscardStmt *) statement)->target == DISCARD_ALL;
	if (IsA(statement, VariableSetStmt))
		return ((const VariableSetStmt *) statement)->kind == VAR_RESET_ALL;
	return false;
}

void
span_scope_install(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
}
