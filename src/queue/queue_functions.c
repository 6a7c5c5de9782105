/*
 * queue_functions.c: otel.force_flush() and otel.retry_failed().
 *
 * Both read the tables without checking the caller's privileges on them: the privilege to call the
 * function is what counts.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "monotonic.h"
#include "queue/queue_tables.h"
#include "queue/exporter_guard.h"
#include "queue/exporter_state.h"
#include "queue/worker_start.h"
#include "settings.h"
#include "queue/quiet_heap.h"

/*
 * How long force_flush() sleeps between looks at the queue: doubled from the first to the second.
 */
#define FLUSH_POLL_MIN_MS 2
#define FLUSH_POLL_MAX_MS 100

/* How often it asks again for an exporter, which may have crashed or found no slot. */
#define FLUSH_START_INTERVAL_MS 1000

PG_FUNCTION_INFO_V1(otel_force_flush);
PG_FUNCTION_INFO_V1(otel_retry_failed);

/*
 * Is any row that the snapshot "since" shows still in the queue, at or after *from?  Moves *from to
 * it: the exporter empties the queue from its start, so each look costs little.
 */
static bool
still_waiting(Relation queue, Snapshot since, ItemPointer from)
{
	ItemPointerData last;
	Snapshot	now = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot = table_slot_create(queue, NULL);
	TableScanDesc scan;
	bool		found = false;

	ItemPointerSet(&last, MaxBlockNumber, MaxOffsetNumber);
	scan = table_scan_tid_range(queue, now, from, &last);
	while (!found && table_scan_getnextslot_tidrange(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		Datum		sysattr = slot_getsysattr(slot, MinTransactionIdAttributeNumber, &isnull);
		TransactionId xmin = DatumGetTransactionId(sysattr);

		found = !TransactionIdIsCurrentTransactionId(xmin) && !XidInMVCCSnapshot(xmin, since);
		if (found)
			ItemPointerCopy(&slot->tts_tid, from);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(now);
	return found;
}

/* Wakes the exporter, or starts one, until the rows of the snapshot have left the queue. */
static void
flush_since(Relation queue, Snapshot since, Oid extension, int timeout_ms)
{
	const int64 end = monotonic_ms() + timeout_ms;
	int64		ask_at = 0;
	ItemPointerData from;
	long		sleep_ms = FLUSH_POLL_MIN_MS;

	ItemPointerSet(&from, 0, FirstOffsetNumber);
	while (still_waiting(queue, since, &from))
	{
		int64		now = monotonic_ms();

		if (now >= ask_at)
		{
			exporter_start_if_needed(extension);
			exporter_wake();
			ask_at = now + FLUSH_START_INTERVAL_MS;
		}
		if (now >= end)
			break;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(end - now, sleep_ms), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		sleep_ms = Min(sleep_ms * 2, FLUSH_POLL_MAX_MS);
	}
}

Datum
otel_force_flush(PG_FUNCTION_ARGS)
{
	int			timeout_ms = PG_GETARG_INT32(0);
	Oid			extension = get_extension_oid("otel_links", false);
	Relation	queue;
	Snapshot	since;
	Snapshot	after;
	LOCKTAG		flush;
	int64		exported;

	/* Nothing is exported on a standby, nor where spans are held back on purpose. */
	if (RecoveryInProgress() || otel_traces_exporter == TRACES_EXPORTER_NONE)
		PG_RETURN_INT64(0);

	queue = queue_table_open(&span_queue_table, AccessShareLock);
	since = RegisterSnapshot(GetLatestSnapshot());
	exported = exporter_state_exported(since);

	exporter_flush_tag(&flush, extension);
	(void) LockAcquire(&flush, ShareLock, false, false);
	flush_since(queue, since, extension, timeout_ms);
	LockRelease(&flush, ShareLock, false);

	after = RegisterSnapshot(GetLatestSnapshot());
	exported = exporter_state_exported(after) - exported;
	UnregisterSnapshot(after);
	UnregisterSnapshot(since);
	table_close(queue, AccessShareLock);
	PG_RETURN_INT64(exported);
}

Datum
otel_retry_failed(PG_FUNCTION_ARGS)
{
	Relation	failed;
	Relation	queue;
	TupleDesc	desc;
	Datum	   *values;
	bool	   *nulls;
	Snapshot	snapshot;
	TableScanDesc scan;
	HeapTuple	tuple;
	int64		count = 0;

	PreventCommandIfReadOnly("otel.retry_failed()");
	PreventCommandIfParallelMode("otel.retry_failed()");
	PreventCommandDuringRecovery("otel.retry_failed()");

	/* Keeps out other calls, but not the exporter, which may go on setting spans aside. */
	failed = queue_table_open(&failed_spans_table, ShareUpdateExclusiveLock);
	queue = queue_table_open(&span_queue_table, RowExclusiveLock);
	desc = RelationGetDescr(failed);
	values = palloc(sizeof(Datum) * desc->natts);
	nulls = palloc(sizeof(bool) * desc->natts);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = table_scan_all(failed, snapshot);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		heap_deform_tuple(tuple, desc, values, nulls);

		/*
		 * A span that came with a copied database becomes this one's, because the user asks for it.
		 */
		values[QUEUE_ORIGIN_SYSTEM] = Int64GetDatum((int64) GetSystemIdentifier());
		values[QUEUE_ORIGIN_DATABASE] = ObjectIdGetDatum(MyDatabaseId);
		quiet_insert(queue, values, nulls, QUEUE_COLUMNS);
		quiet_delete(failed, &tuple->t_self);
		count++;
	}
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	if (count > 0)
		exporter_start_if_needed(get_extension_oid("otel_links", false));
	table_close(queue, NoLock);
	table_close(failed, NoLock);
	PG_RETURN_INT64(count);
}
