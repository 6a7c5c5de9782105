/*
 * span_xact.c: spans and transactions: what ends with them, what rolls back, and the way into the queue.
 *
 * A span that is over waits in memory and becomes a row of the queue when its transaction commits, in
 * that very transaction (XACT_EVENT_PRE_COMMIT, PRE_PREPARE).  So it is exported as the job told it only
 * if the job's work commits.  The row is written in a subtransaction: what may go wrong there never
 * becomes an error of the user's.  The span stays in memory until the commit is certain.
 *
 * Abort callbacks may not fail, so they only mark.  A span that began (with transaction scope) or ended
 * in what is rolled back gets status Error; the session's next writable transaction queues it, or, when
 * there is none, a transaction that the backend starts while it exits.
 *
 * A span's scope is its transaction or its top-level statement, whichever is longer.  A statement that
 * goes on after its transaction (CALL and DO that commit, VACUUM) is one whose portal is still active.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/table.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/pquery.h"
#include "tcop/utility.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "exporter_start.h"
#include "queue.h"
#include "settings.h"
#include "span.h"

/* Above this many waiting spans a transaction appends before its end, to bound the session's memory. */
#define SPAN_MAX_WAITING 10000

/* Where it cannot append (read-only, or a lock on the queue), spans above this are dropped. */
#define SPAN_MAX_WAITING_READ_ONLY 20000

/* A span that could not be queued this often is dropped, so that it does not hold up the others. */
#define SPAN_MAX_FAILURES 3

/* How long an exiting backend tries to get the queue's lock, in steps of 100 ms. */
#define SPAN_EXIT_TRIES 10

static bool flushing = false;
static bool exiting = false;
static ProcessUtility_hook_type prev_process_utility = NULL;

/* Does the client's statement go on after the transaction that now ends? */
static bool
statement_goes_on(void)
{
	return PortalIsValid(ActivePortal) && !exiting;
}

/* ---- the way into the queue ---- */

static void
drop_waiting(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &span_waiting)
		span_forget(dlist_container(Span, node, iter.cur));
}

/*
 * Appends every waiting span, in a subtransaction that the caller began.  memory is reset for each.
 * Returns how many there were; -1 when the queue is not to be had.
 */
static int
append_waiting(MemoryContext memory)
{
	dlist_iter	iter;
	Relation	queue;
	Oid			extension;
	int			appended = 0;

	switch (queue_open(&queue, &extension))
	{
		case QUEUE_BUSY:
			return -1;
		case QUEUE_MISSING:
			drop_waiting();
			return 0;
		case QUEUE_OPENED:
			break;
	}
	dlist_foreach(iter, &span_waiting)
	{
		Span	   *span = dlist_container(Span, node, iter.cur);
		MemoryContext caller = MemoryContextSwitchTo(memory);

		CHECK_FOR_INTERRUPTS();
		span->failures++;
		queue_append(queue, span);
		span->failures--;
		MemoryContextSwitchTo(caller);
		MemoryContextReset(memory);
		appended++;
	}
	table_close(queue, NoLock);
	exporter_start_if_needed(extension);
	return appended;
}

/* The span that broke the flush has one failure more than it had: is it time to give it up? */
static void
drop_hopeless(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &span_waiting)
	{
		Span	   *span = dlist_container(Span, node, iter.cur);

		if (span->failures >= SPAN_MAX_FAILURES)
		{
			ereport(WARNING, (errmsg("span \"%s\" is dropped, it cannot be queued", span->name)));
			span_forget(span);
		}
	}
}

/* What became of the attempt: the work goes on, unless it was the user who cancelled it. */
static void
flush_failed(ErrorData *error)
{
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	ereport(WARNING,
			(errmsg("spans could not be queued: %s", error->message),
			 errhint("They wait for the session's next transaction.")));
	FreeErrorData(error);
	drop_hopeless();
}

/* May this transaction write? */
static bool
can_append(void)
{
	/* VACUUM and CREATE INDEX CONCURRENTLY hide their transactions from others' snapshots. */
	if (MyProc->statusFlags & (PROC_IN_VACUUM | PROC_IN_SAFE_IC))
		return false;
	return !XactReadOnly && !IsInParallelMode();
}

/* Appends what waits and marks it queued.  Returns false when nothing was appended. */
static bool
flush(void)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext memory;
	dlist_iter	iter;
	volatile int appended = 0;

	if (flushing || dlist_is_empty(&span_waiting) || !can_append())
		return false;

	flushing = true;
	memory = AllocSetContextCreate(caller, "otel queue", ALLOCSET_DEFAULT_SIZES);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		appended = append_waiting(memory);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(caller);
		CurrentResourceOwner = owner;
		flushing = false;
		flush_failed(error);
		appended = -1;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	MemoryContextDelete(memory);
	flushing = false;

	if (appended <= 0)
		return false;
	dlist_foreach(iter, &span_waiting)
		dlist_container(Span, node, iter.cur)->queued = true;
	return true;
}

/* The rows are as certain as the transaction: their spans need not be kept. */
static void
forget_queued(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &span_waiting)
	{
		Span	   *span = dlist_container(Span, node, iter.cur);

		if (span->queued)
			span_forget(span);
	}
}

void
span_xact_bound_waiting(void)
{
	static bool warned = false;

	if (span_waiting_count <= SPAN_MAX_WAITING)
		return;
	if (span_waiting_count % 1000 == 1 && flush())
		forget_queued();
	if (span_waiting_count <= SPAN_MAX_WAITING_READ_ONLY)
		return;
	if (!warned)
		ereport(WARNING,
				(errmsg("spans are dropped: %d wait in this session, and none of its transactions can queue them",
						SPAN_MAX_WAITING_READ_ONLY)));
	warned = true;
	span_forget(dlist_head_element(Span, node, &span_waiting));
}

/* ---- scopes ---- */

/*
 * Ends the open spans whose scope is over: those with transaction scope or, when the session ends or is
 * reset, all.  Not an error: they are exported as they are.
 */
static void
end_scopes(bool session)
{
	dlist_mutable_iter iter;
	TimestampTz now = GetCurrentTimestamp();
	const char *first = NULL;

	dlist_foreach_modify(iter, &span_open)
	{
		Span	   *span = dlist_container(Span, node, iter.cur);

		if (span->scope == SPAN_SCOPE_SESSION && !session)
			continue;
		if (span->recording && first == NULL)
			first = span->name;
		span_end_by_scope(span, now);
	}
	if (first == NULL)
		return;
	ereport(WARNING,
			(errmsg("span \"%s\" was open when its %s", first,
					session ? "session ended or was reset" : "transaction ended"),
			 errhint("End spans with otel.end_span; a job over several transactions starts its span "
					 "with scope => 'session'.")));
}

static void
before_commit(void)
{
	if (flushing)
		return;
	if (!statement_goes_on())
		end_scopes(false);
	if (!dlist_is_empty(&span_waiting) && RecoveryInProgress())
		drop_waiting();			/* a hot standby has no queue to write to */
	(void) flush();
}

/* What is left after a transaction belongs to none. */
static void
after_commit(void)
{
	dlist_iter	iter;

	forget_queued();
	dlist_foreach(iter, &span_open)
		dlist_container(Span, node, iter.cur)->start_subid = InvalidSubTransactionId;
	dlist_foreach(iter, &span_waiting)
	{
		Span	   *span = dlist_container(Span, node, iter.cur);

		span->start_subid = span->end_subid = InvalidSubTransactionId;
	}
}

/*
 * Marks only: an abort callback may not fail.  Open spans first: those that end here are then among the
 * waiting ones that ended in what is rolled back.
 */
static void
after_abort(void)
{
	dlist_mutable_iter iter;
	bool		goes_on = statement_goes_on();
	TimestampTz now = GetCurrentTimestamp();

	dlist_foreach_modify(iter, &span_open)
	{
		Span	   *span = dlist_container(Span, node, iter.cur);

		if (span->scope == SPAN_SCOPE_TRANSACTION)
			span->rolled_back |= span->start_subid != InvalidSubTransactionId;
		span->start_subid = InvalidSubTransactionId;
		if (span->scope == SPAN_SCOPE_TRANSACTION && !goes_on)
			span_end_by_scope(span, now);
	}
	dlist_foreach_modify(iter, &span_waiting)
	{
		Span	   *span = dlist_container(Span, node, iter.cur);

		span->rolled_back |= span->end_subid != InvalidSubTransactionId;
		span->queued = false;
		span->start_subid = span->end_subid = InvalidSubTransactionId;
	}
	flushing = false;
}

static void
xact_callback(XactEvent event, void *arg)
{
	otel_capture_generation++;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			before_commit();
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
 * A subtransaction's spans become its parent's, when it aborts with the mark.  The waiting list is in
 * order of the spans' ends, so those that ended in it are the last ones.
 */
static void
subxact_callback(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	bool		aborted = event == SUBXACT_EVENT_ABORT_SUB;
	dlist_iter	iter;

	if (flushing || (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB))
		return;
	dlist_foreach(iter, &span_open)
	{
		Span	   *span = dlist_container(Span, node, iter.cur);

		if (span->start_subid != subid)
			continue;
		span->start_subid = parent;
		span->rolled_back |= aborted && span->scope == SPAN_SCOPE_TRANSACTION;
	}
	dlist_reverse_foreach(iter, &span_waiting)
	{
		Span	   *span = dlist_container(Span, node, iter.cur);

		if (span->end_subid != subid)
			break;
		span->end_subid = parent;
		span->rolled_back |= aborted;
	}
}

/* ---- session ---- */

/*
 * A backend that exits queues what still waits, in a transaction of its own: failed psql -c, terminated
 * and vanished clients, fast shutdown.
 */
static void
flush_at_exit(int code, Datum arg)
{
	exiting = true;
	if (dlist_is_empty(&span_open) && dlist_is_empty(&span_waiting))
		return;
	if (!OidIsValid(MyDatabaseId) || IsParallelWorker())
		return;
	AbortOutOfAnyTransaction();
	if (RecoveryInProgress())
		return;
	for (int i = 0; i < SPAN_EXIT_TRIES; i++)
	{
		if (i > 0)
			pg_usleep(100 * 1000L);
		StartTransactionCommand();
		XactReadOnly = false;	/* default_transaction_read_only is for the user's work */
		end_scopes(true);
		CommitTransactionCommand();
		if (dlist_is_empty(&span_waiting))
			return;
	}
}

static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only_tree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *statement = pstmt->utilityStmt;
	bool		resets = (IsA(statement, DiscardStmt) &&
						  castNode(DiscardStmt, statement)->target == DISCARD_ALL) ||
		(IsA(statement, VariableSetStmt) && castNode(VariableSetStmt, statement)->kind == VAR_RESET_ALL);

	if (prev_process_utility)
		prev_process_utility(pstmt, query, read_only_tree, context, params, env, dest, qc);
	else
		standard_ProcessUtility(pstmt, query, read_only_tree, context, params, env, dest, qc);
	if (resets)
		end_scopes(true);
}

void
span_xact_init(void)
{
	static bool registered = false;

	/* Not in _PG_init: a preloaded library's would be registered in the postmaster, and lost. */
	if (!registered)
		before_shmem_exit(flush_at_exit, (Datum) 0);
	registered = true;
}

void
span_xact_install(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
