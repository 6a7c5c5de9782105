/*
 * span_flush.c: writing the waiting spans into the queue.
 *
 * Owns appending the waiting spans, the limit on how many may wait, and the count of lost ones.
 * span_scope.c (a transaction commits) and span_exit.c (a session ends) decide when that is done.
 *
 * Telemetry must never abort a user's transaction.  So a flush within a COMMIT raises nothing,
 * waits for no lock longer than a millisecond, does not act on interrupts (late_interrupts.h), and
 * appends at most SPAN_FLUSH_MAX_SPANS spans or SPAN_FLUSH_MAX_SIZE bytes.
 *
 * The rows are written in a subtransaction, because nothing less cleans up after an error of the
 * storage, such as a full disk.  Two alternatives are worse.  Hooks that queue before the COMMIT
 * miss what deferred triggers, procedures and replication workers record, and would still have to
 * catch errors.  Catching errors without a subtransaction needs a copy of AbortSubTransaction(),
 * one for each major version.  The subtransaction costs a second transaction id and 0.6 µs.
 *
 * With Citus, it would cost two round trips, SAVEPOINT and RELEASE, to every worker that took part,
 * and an error if one of these has been lost since, even though a transaction that only read there
 * can commit.  So with Citus there is no subtransaction, and an error fails the COMMIT; after that
 * has happened once in a session, there is one.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/table.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "citus.h"
#include "queue/span_queue.h"
#include "queue/worker_start.h"
#include "settings.h"
#include "spans/guarded.h"
#include "spans/late_interrupts.h"
#include "spans/span.h"
#include "spans/span_flush.h"
#include "spans/span_row.h"
#include "spans/unsampled.h"

/*
 * Above this many waiting spans, or bytes of them, a transaction appends before its end, to limit
 * the session's memory.  If it rolls back, these spans are lost, and counted.  If it cannot append
 * (it is read-only, or the queue is locked), the oldest above twice this limit are dropped.
 */
#define SPAN_MAX_WAITING 10000
#define SPAN_MAX_WAITING_SIZE ((Size) 64 * 1024 * 1024)

/* The most that one flush appends: all that waits, unless appending early was not possible. */
#define SPAN_FLUSH_MAX_SPANS SPAN_MAX_WAITING
#define SPAN_FLUSH_MAX_SIZE SPAN_MAX_WAITING_SIZE

/* After an early attempt that failed, the next one is made after this many more spans or bytes. */
#define SPAN_EARLY_STEP 1000
#define SPAN_EARLY_STEP_SIZE ((Size) 6 * 1024 * 1024)

/* A span that fails to be queued this many times is dropped, so that it does not hold up others. */
#define SPAN_MAX_FAILURES 3

/* Rows that a (sub)transaction appended early; they are lost if it rolls back. */
typedef struct EarlyRows
{
	SubTransactionId subid;
	int64		count;
} EarlyRows;

bool		span_flushing = false;

/* Is append_all() running without a subtransaction?  Has that ever aborted a transaction? */
static bool unguarded = false;
static bool unguarded_failed = false;

static int64 dropped = 0;

/* One for each subtransaction that has any, the innermost last. */
static EarlyRows *early = NULL;
static int	nearly = 0;
static int	max_early = 0;

/* Rows that this session put into the queue since it last woke the exporter. */
static int	queued_since_wake = 0;

/* The span whose row is being written: an error may be its fault. */
static Span *appending = NULL;

/* For the values of one row; it lives as long as the session. */
static MemoryContext row_memory = NULL;

/* ---- what is lost ---- */

void
span_flush_drop_waiting(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &span_waiting)
	{
		span_forget(dlist_container(Span, node, iter.cur));
		dropped++;
	}
}

int64
span_flush_dropped(void)
{
	return dropped;
}

int64
span_flush_early_rows(void)
{
	int64		count = 0;

	for (int i = 0; i < nearly; i++)
		count += early[i].count;
	return count;
}

bool
span_flush_count_dropped(void)
{
	if (dropped > 0 && !queue_count_dropped(dropped))
		return false;
	dropped = 0;
	return true;
}

void
span_flush_add_dropped(int64 spans)
{
	dropped += spans;
}

/* ---- appending ---- */

static bool
needs_queue(void)
{
	return !dlist_is_empty(&span_waiting) || dropped > 0;
}

/*
 * Appends the oldest waiting spans and marks them queued.  A transaction that is prepared appends
 * only its own spans, not those of transactions that committed before it, because somebody may say
 * ROLLBACK PREPARED.
 */
static FlushResult
append_waiting(FlushOccasion occasion)
{
	Relation	queue;
	Oid			extension;
	int			count = 0;
	Size		size = 0;
	dlist_iter	iter;
	bool		push_snapshot = !ActiveSnapshotSet();

	switch (queue_open(&queue, &extension))
	{
		case QUEUE_BUSY:
			return FLUSH_BUSY;
		case QUEUE_REFUSED:
			span_flush_drop_waiting();
			(void) span_flush_count_dropped();
			return FLUSH_DONE;
		case QUEUE_MISSING:
			span_flush_drop_waiting();
			dropped = 0;		/* there is no count that could be added to */
			return FLUSH_DONE;
		case QUEUE_OPENED:
			break;
	}
	if (push_snapshot)			/* storing values out of line needs one */
		PushActiveSnapshot(GetTransactionSnapshot());
	if (queue_is_full(queue) && !exporter_start_if_needed(extension))
		span_flush_drop_waiting();	/* there is no exporter that could make room */
	(void) span_flush_count_dropped();
	dlist_foreach(iter, &span_waiting)
	{
		Span	   *span = dlist_container(Span, node, iter.cur);
		MemoryContext caller;

		if (occasion == FLUSH_AT_PREPARE && span->end_subid == InvalidSubTransactionId)
			continue;
		caller = MemoryContextSwitchTo(row_memory);
		appending = span;
		span_row_append(queue, span);
		appending = NULL;
		MemoryContextSwitchTo(caller);
		MemoryContextReset(row_memory);
		span->queued = true;
		size += span->size;
		if (++count >= SPAN_FLUSH_MAX_SPANS || size >= SPAN_FLUSH_MAX_SIZE)
			break;
	}
	if (push_snapshot)
		PopActiveSnapshot();
	table_close(queue, NoLock);
	if (count > 0)
		(void) exporter_start_if_needed(extension);
	return FLUSH_DONE;
}

/* Writes all that there is to write. */
static FlushResult
append_all(FlushOccasion occasion)
{
	if (unsampled_is_due())
		unsampled_report();
	return needs_queue() ? append_waiting(occasion) : FLUSH_DONE;
}

/* Is the transaction, the server or its administrator at fault, rather than the span? */
static bool
is_no_spans_fault(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_INTERNAL_ERROR:	/* PostgreSQL's code for an exceeded disk quota */
			return error->saved_errno == EDQUOT || error->saved_errno == EFBIG;
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
			return true;
		default:
			return false;
	}
}

/*
 * Warns of the error, unless it is a serialization failure or a deadlock, which PostgreSQL itself
 * reports to the user if it matters.  Drops a span that has been at fault often enough.
 */
static void
flush_failed(ErrorData *error)
{
	Span	   *span = appending;

	appending = NULL;
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_TRANSACTION_ROLLBACK)
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("spans could not be queued: %s", error->message),
				 errhint("They wait for the session's next transaction.")));
	if (span == NULL || is_no_spans_fault(error))
		return;
	if (++span->failures < SPAN_MAX_FAILURES)
		return;
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("span \"%s\" is dropped, because it cannot be queued", span->name)));
	span_forget(span);
	dropped++;
}

typedef struct Attempt
{
	FlushOccasion occasion;
	FlushResult result;
} Attempt;

static void
attempt(void *arg)
{
	Attempt    *a = arg;

	a->result = append_all(a->occasion);
}

/* append_all() in a subtransaction, where an error does no harm. */
static FlushResult
append_guarded(FlushOccasion occasion)
{
	Attempt		a = {occasion, FLUSH_FAILED};
	ErrorData  *error = guarded_run(attempt, &a);

	if (error == NULL)
		return a.result;
	flush_failed(error);
	FreeErrorData(error);
	MemoryContextReset(row_memory);
	return FLUSH_FAILED;
}

/* append_all() without a subtransaction: an error fails the COMMIT. */
static FlushResult
append_unguarded(FlushOccasion occasion)
{
	MemoryContext caller = CurrentMemoryContext;
	FlushResult result;

	unguarded = true;
	result = append_all(occasion);
	unguarded = false;
	MemoryContextSwitchTo(caller);
	return result;
}

/* Early, a subtransaction is always needed: the user might catch the error of half a flush. */
static bool
does_without_guard(FlushOccasion occasion)
{
	return occasion != FLUSH_EARLY && citus_is_loaded() && !unguarded_failed;
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

static void
forget_marks(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &span_waiting)
		dlist_container(Span, node, iter.cur)->queued = false;
}

FlushResult
span_flush(FlushOccasion occasion)
{
	FlushResult result;

	if (span_flushing || (!needs_queue() && !unsampled_is_due()) || !can_append())
		return FLUSH_NOTHING;
	if (row_memory == NULL)
		row_memory = AllocSetContextCreate(TopMemoryContext, "otel queue", ALLOCSET_DEFAULT_SIZES);

	late_interrupts_hold();
	span_flushing = true;
	if (does_without_guard(occasion))
		result = append_unguarded(occasion);
	else
		result = append_guarded(occasion);
	span_flushing = false;
	late_interrupts_resume(occasion != FLUSH_EARLY);
	if (result != FLUSH_DONE)
		forget_marks();
	return result;
}

/* Frees the queued spans, whose rows are now as safe as the transaction; returns how many. */
static int
forget_queued(void)
{
	dlist_mutable_iter iter;
	int			count = 0;

	dlist_foreach_modify(iter, &span_waiting)
	{
		Span	   *span = dlist_container(Span, node, iter.cur);

		if (!span->queued)
			continue;
		span_forget(span);
		count++;
	}
	return count;
}

/* ---- the limit on what waits ---- */

static bool
waiting_exceeds(int times)
{
	return span_waiting_count > times * SPAN_MAX_WAITING ||
		span_waiting_size > times * SPAN_MAX_WAITING_SIZE;
}

/* Makes room for one more subtransaction that appends early. */
static void
enlarge_early(void)
{
	if (nearly < max_early)
		return;
	if (early == NULL)
		early = MemoryContextAlloc(TopMemoryContext, 8 * sizeof(EarlyRows));
	else
		early = repalloc(early, 2 * max_early * sizeof(EarlyRows));
	max_early = max_early == 0 ? 8 : 2 * max_early;
}

static void
append_early(void)
{
	static int	failed_count = 0;
	static Size failed_size = 0;
	SubTransactionId subid = GetCurrentSubTransactionId();
	int			count;

	/* An attempt may have failed a moment ago. */
	if (span_waiting_count >= failed_count && span_waiting_size >= failed_size &&
		span_waiting_count < failed_count + SPAN_EARLY_STEP &&
		span_waiting_size < failed_size + SPAN_EARLY_STEP_SIZE &&
		failed_count > 0)
		return;
	enlarge_early();
	failed_count = 0;
	if (span_flush(FLUSH_EARLY) != FLUSH_DONE)
	{
		failed_count = span_waiting_count;
		failed_size = span_waiting_size;
		return;
	}
	count = forget_queued();
	if (nearly == 0 || early[nearly - 1].subid != subid)
		early[nearly++] = (EarlyRows) {subid, 0};
	early[nearly - 1].count += count;
}

void
span_flush_bound_waiting(void)
{
	static bool warned = false;

	if (span_flushing || !waiting_exceeds(1))
		return;
	append_early();
	if (!waiting_exceeds(2))
		return;
	if (!warned)
		ereport(WARNING,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("spans are dropped: %d wait in this session, and its transaction cannot "
						"queue them", span_waiting_count)));
	warned = true;
	while (waiting_exceeds(2))
	{
		span_forget(dlist_head_element(Span, node, &span_waiting));
		dropped++;
	}
}

/* ---- the end of a transaction ---- */

void
span_flush_after_commit(void)
{
	queued_since_wake += forget_queued();
	for (; nearly > 0; nearly--)
		queued_since_wake += early[nearly - 1].count;
	if (queued_since_wake >= otel_bsp_max_export_batch_size)
	{
		queued_since_wake = 0;
		exporter_wake();
	}
	late_interrupts_release();
}

void
span_flush_after_abort(void)
{
	forget_marks();
	for (; nearly > 0; nearly--)
		dropped += early[nearly - 1].count;
	unguarded_failed |= unguarded;
	unguarded = false;
	span_flushing = false;
	appending = NULL;
	late_interrupts_release();
}

void
span_flush_after_subcommit(SubTransactionId subid, SubTransactionId parent)
{
	if (nearly == 0 || early[nearly - 1].subid != subid)
		return;
	early[nearly - 1].subid = parent;
	if (nearly < 2 || early[nearly - 2].subid != parent)
		return;
	early[nearly - 2].count += early[nearly - 1].count;
	nearly--;
}

void
span_flush_after_subabort(SubTransactionId subid)
{
	if (nearly > 0 && early[nearly - 1].subid == subid)
		dropped += early[--nearly].count;
}
