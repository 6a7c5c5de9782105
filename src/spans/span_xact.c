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
 * goes on after its transaction (CALL and DO that commit, VACUUM) is one whose portal is still active.  So
 * the ROLLBACK of a procedure does not mark what is open: how the span ends is still to come.
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
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "queue/worker_start.h"
#include "queue/span_queue.h"
#include "settings.h"
#include "spans/span.h"
#include "spans/span_row.h"

/*
 * Above so many waiting spans, or bytes of them, a transaction appends before its end, to bound the
 * session's memory.  Should it roll back, these are lost.  Where it cannot append (read-only, or a lock on
 * the queue), the oldest above twice as much are dropped.
 */
#define SPAN_MAX_WAITING 10000
#define SPAN_MAX_WAITING_SIZE ((Size) 64 * 1024 * 1024)

/* A span that could not be queued this often is dropped, so that it does not hold up the others. */
#define SPAN_MAX_FAILURES 3

/* How long an exiting backend tries to get the queue's lock, in steps of 100 ms. */
#define SPAN_EXIT_TRIES 10

static bool flushing = false;
static bool exiting = false;

/* Spans that this session gave up and the queue's count does not tell of yet. */
static int64 dropped = 0;

/* Rows that this session put into the queue since it last woke the exporter. */
static int	queued_since_wake = 0;

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
	{
		span_forget(dlist_container(Span, node, iter.cur));
		dropped++;
	}
}

/*
 * Appends every waiting span, in a subtransaction that the caller began.  memory is reset for each.
 * Says whether it did.
 */
static bool
append_waiting(MemoryContext memory)
{
	dlist_iter	iter;
	Relation	queue;
	Oid			extension;
	bool		push_snapshot = !ActiveSnapshotSet();

	switch (queue_open(&queue, &extension))
	{
		case QUEUE_BUSY:
			return false;
		case QUEUE_MISSING:
			drop_waiting();
			dropped = 0;		/* there is nobody to tell */
			return false;
		case QUEUE_OPENED:
			break;
	}
	if (push_snapshot)			/* what is stored out of line wants one */
		PushActiveSnapshot(GetTransactionSnapshot());
	if (queue_is_full(queue) && !exporter_start_if_needed(extension))
		drop_waiting();			/* an exporter would make room */
	if (dropped > 0)
		queue_count_dropped(dropped);
	dropped = 0;
	dlist_foreach(iter, &span_waiting)
	{
		Span	   *span = dlist_container(Span, node, iter.cur);
		MemoryContext caller = MemoryContextSwitchTo(memory);

		CHECK_FOR_INTERRUPTS();
		span->failures++;
		span_row_append(queue, span);
		span->failures--;
		MemoryContextSwitchTo(caller);
		MemoryContextReset(memory);
	}
	if (push_snapshot)
		PopActiveSnapshot();
	table_close(queue, NoLock);
	(void) exporter_start_if_needed(extension);
	return true;
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
			dropped++;
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

/*
 * Appends what waits and marks it queued.  Returns false when nothing was appended.
 *
 * A server that is built with assertions fails one of its own (RollbackAndReleaseCurrentSubTransaction) where
 * the attempt fails while a COMMIT runs, as it does for a deferred trigger that handles an exception.
 */
static bool
flush(void)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	MemoryContext memory;
	dlist_iter	iter;
	volatile bool appended = false;

	if (flushing || dlist_is_empty(&span_waiting) || !can_append())
		return false;

	memory = AllocSetContextCreate(caller, "otel queue", ALLOCSET_DEFAULT_SIZES);
	BeginInternalSubTransaction(NULL);
	flushing = true;
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
		appended = false;
		flush_failed(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	MemoryContextDelete(memory);
	flushing = false;

	if (appended)
	{
		dlist_foreach(iter, &span_waiting)
			dlist_container(Span, node, iter.cur)->queued = true;
	}
	return appended;
}

/* The rows are as certain as the transaction: their spans need not be kept. */
static void
forget_queued(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &span_waiting)
	{
		Span	   *span = dlist_container(Span, node, iter.cur);

		if (!span->queued)
			continue;
		span_forget(span);
		queued_since_wake++;
	}
}

static bool
waiting_exceeds(int times)
{
	return span_waiting_count > times * SPAN_MAX_WAITING ||
		span_waiting_size > times * SPAN_MAX_WAITING_SIZE;
}

void
span_xact_bound_waiting(void)
{
	static bool warned = false;

	if (!waiting_exceeds(1))
		return;
	if (flush())
		forget_queued();
	if (!waiting_exceeds(2))
		return;
	if (!warned)
		ereport(WARNING,
				(errmsg("spans are dropped: %d wait in this session, and its transaction cannot queue them",
						span_waiting_count)));
	warned = true;
	while (waiting_exceeds(2))
	{
		span_forget(dlist_head_element(Span, node, &span_waiting));
		dropped++;
	}
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
			(errmsg("span \"%s\" was open when its %s", first->name,
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
	if (queued_since_wake >= otel_bsp_max_export_batch_size)
	{
		queued_since_wake = 0;
		exporter_wake();
	}
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
 * waiting ones, which are marked when they ended in what is rolled back.  Those that stay open, for the
 * session's or the statement's sake, are not: neither is over.
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
		span->queued = false;
		span->start_subid = span->end_subid = InvalidSubTransactionId;
	}
	flushing = false;
}

static void
xact_callback(XactEvent event, void *arg)
{
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
 * and vanished clients, fast shutdown.  It waits for nobody: not for a client to read a warning, nor for a
 * synchronous standby to confirm the commit, since nothing could interrupt that any more.
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
	whereToSendOutput = DestNone;
	synchronous_commit = SYNCHRONOUS_COMMIT_OFF;
	for (int i = 0; i < SPAN_EXIT_TRIES; i++)
	{
		if (i > 0)
			pg_usleep(100 * 1000L);
		StartTransactionCommand();
		XactReadOnly = false;	/* the defaults are for the user's work */
		XactIsoLevel = XACT_READ_COMMITTED;
		end_scopes(true);
		CommitTransactionCommand();
		if (dlist_is_empty(&span_waiting))
			return;
	}
	ereport(LOG, (errmsg("%d spans are lost: the session ended while otel.span_queue was locked",
						 span_waiting_count)));
}

bool
span_xact_is_reset(const Node *statement)
{
	/* not castNode(), which takes no const where assertions are compiled in */
	if (IsA(statement, DiscardStmt))
		return ((const DiscardStmt *) statement)->target == DISCARD_ALL;
	if (IsA(statement, VariableSetStmt))
		return ((const VariableSetStmt *) statement)->kind == VAR_RESET_ALL;
	return false;
}

void
span_xact_reset(void)
{
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
}
