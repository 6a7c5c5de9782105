/*
 * settle.c: what becomes of rows, and otel.exporter_state.
 *
 * Rows only ever move by delete and insert (quiet_heap.h).  A TID names a row only as long as nobody
 * else deletes rows or rewrites the table: VACUUM FULL moves them all, which the table's filenode tells,
 * and a row deleted by hand leaves its place to another, which xmin tells.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "queue/queue_tables.h"
#include "queue/file_room.h"
#include "exporter/lifecycle.h"
#include "exporter/pacing.h"
#include "queue/quiet_heap.h"
#include "exporter/row_bytes.h"
#include "exporter/settle.h"

/* ---- otel.exporter_state ---- */

typedef struct StateChange
{
	int64		exported;
	int64		rejected;
	int64		dropped;
	bool		success;		/* a collector has taken spans */
	const char *error;
	int64		start_failures; /* seen; -1: no change */
} StateChange;

/* Somebody else's words as a text of this database. */
static Datum
message_datum(const char *message)
{
	char	   *copy = pstrdup(message);

	if (!pg_verify_mbstr(GetDatabaseEncoding(), copy, strlen(copy), true))
	{
		for (char *p = copy; *p; p++)
		{
			if (IS_HIGHBIT_SET(*p))
				*p = '?';
		}
	}
	return CStringGetTextDatum(copy);
}

static void
apply_change(const StateChange *change, Datum *values, bool *nulls)
{
	values[STATE_EXPORTED] = Int64GetDatum(DatumGetInt64(values[STATE_EXPORTED]) + change->exported);
	values[STATE_REJECTED] = Int64GetDatum(DatumGetInt64(values[STATE_REJECTED]) + change->rejected);
	values[STATE_DROPPED] = Int64GetDatum(DatumGetInt64(values[STATE_DROPPED]) + change->dropped);
	if (change->start_failures >= 0)
		values[STATE_START_FAILURES_SEEN] = Int64GetDatum(change->start_failures);
	if (change->success)
	{
		values[STATE_LAST_SUCCESS] = TimestampTzGetDatum(GetCurrentTimestamp());
		nulls[STATE_LAST_SUCCESS] = false;
	}
	if (change->error)
	{
		values[STATE_LAST_ERROR_AT] = TimestampTzGetDatum(GetCurrentTimestamp());
		values[STATE_LAST_ERROR] = message_datum(change->error);
		nulls[STATE_LAST_ERROR_AT] = nulls[STATE_LAST_ERROR] = false;
	}
}

/* Puts the state's row into the slot, looking for it from a TID on; false when there is none. */
static bool
find_state(Relation state, ItemPointerData first, TupleTableSlot *slot)
{
	ItemPointerData last;
	TableScanDesc scan;
	bool		found;

	ItemPointerSet(&last, MaxBlockNumber, MaxOffsetNumber);
	scan = table_scan_tid_range(state, GetActiveSnapshot(), &first, &last);
	found = table_scan_getnextslot_tidrange(scan, ForwardScanDirection, slot);
	if (found)
		ExecMaterializeSlot(slot);
	table_endscan(scan);
	return found;
}

/*
 * Replaces the state's one row; there is none before the first change.
 *
 * Each change leaves a deleted row, which stays while somebody holds an old snapshot.  So the place of the
 * live one is remembered: where it was looked for from the table's start, batches of one span went at 3,400 a
 * second, and after 100,000 of them at 600; now at 12,000 and more throughout.
 */
static void
change_state(const StateChange *change)
{
	static ItemPointerData place;	/* all zeros, the table's start, at first */
	Relation	state = queue_table_open(&exporter_state_table, RowExclusiveLock);
	TupleTableSlot *slot = table_slot_create(state, NULL);
	int			columns = RelationGetDescr(state)->natts;
	Datum	   *values = palloc0(columns * sizeof(Datum));
	bool	   *nulls = palloc0(columns * sizeof(bool));
	ItemPointerData start;
	bool		found;

	ItemPointerSet(&start, 0, FirstOffsetNumber);
	found = find_state(state, place, slot) || find_state(state, start, slot);
	if (found)
	{
		slot_getallattrs(slot);
		memcpy(values, slot->tts_values, columns * sizeof(Datum));
		memcpy(nulls, slot->tts_isnull, columns * sizeof(bool));
	}
	else
		nulls[STATE_LAST_SUCCESS] = nulls[STATE_LAST_ERROR_AT] = nulls[STATE_LAST_ERROR] = true;
	apply_change(change, values, nulls);
	place = quiet_insert(state, values, nulls, STATE_COLUMNS);
	if (found)
		quiet_delete(state, &slot->tts_tid);
	ExecDropSingleTupleTableSlot(slot);
	table_close(state, NoLock);
}

void
settle_error(const char *error, const ExporterConfig *config)
{
	Settlement	nothing = {0};

	nothing.verdict = VERDICT_FAILED;
	nothing.error = error;
	settle(&nothing, config);
}

void
settle_started(void)
{
	StateChange change = {0};
	int64		seen = -1;
	bool		isnull;

	lifecycle_begin();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute("SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END,"
					" (SELECT start_failures_seen FROM otel.exporter_state)"
					" FROM otel.exporter_start_failures s", true, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not read otel.exporter_start_failures");
	change.start_failures = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
														1, &isnull));
	seen = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	if (isnull)
		seen = 0;
	SPI_finish();
	if (seen != change.start_failures)
		change_state(&change);
	lifecycle_commit();
}

/* ---- rows ---- */

/*
 * Has otel.failed_spans no room for more?  It may become as large as the queue.  Rows that were deleted, as by
 * otel.retry_failed(), take room in the files until they are vacuumed, and must not have others dropped: how
 * many bytes of the files are no row's is counted, which reads the table, and taken for granted for a while.
 */
static bool
failed_spans_are_full(Relation failed, const ExporterConfig *config)
{
	static int64 dead;
	static Pacing pacing;
	const int64 bytes = file_bytes(failed);

	if (!files_are_full(failed, config->queue_max_bytes))
	{
		dead = 0;				/* they have been vacuumed, if there were any */
		return false;
	}
	if (bytes - dead >= config->queue_max_bytes && pacing_is_due(&pacing))
	{
		pacing_begin(&pacing);
		dead = bytes - row_bytes_of_table(failed);
		pacing_end(&pacing);
	}
	return bytes - dead >= config->queue_max_bytes;
}

/* Where rows go, if not away: NULL when they are only deleted. */
static Relation
open_target(const Settlement *s, const ExporterConfig *config)
{
	Relation	target;

	if (s->count == 0 || s->verdict == VERDICT_DROPPED ||
		(s->verdict == VERDICT_EXPORTED && config->retention_s == 0))
		return NULL;
	if (s->verdict == VERDICT_EXPORTED)
		return queue_table_open(&exported_spans_table, RowExclusiveLock);
	target = queue_table_open(&failed_spans_table, RowExclusiveLock);
	if (!failed_spans_are_full(target, config))
		return target;
	table_close(target, RowExclusiveLock);
	return NULL;
}

static void
copy_row(const Settlement *s, TupleTableSlot *slot, Relation target)
{
	Datum		values[FAILED_COLUMNS];
	bool		nulls[FAILED_COLUMNS] = {0};

	slot_getallattrs(slot);
	memcpy(values, slot->tts_values, sizeof(Datum) * QUEUE_COLUMNS);
	memcpy(nulls, slot->tts_isnull, sizeof(bool) * QUEUE_COLUMNS);
	if (s->verdict == VERDICT_EXPORTED)
		values[EXPORTED_AT] = TimestampTzGetDatum(GetCurrentTimestamp());
	else
	{
		values[FAILED_AT] = TimestampTzGetDatum(GetCurrentTimestamp());
		values[FAILED_ERROR] = message_datum(s->error);
	}
	quiet_insert(target, values, nulls, s->verdict == VERDICT_EXPORTED ? EXPORTED_COLUMNS : FAILED_COLUMNS);
}

/* Deletes the rows, copying them first where there is a target; returns how many there were. */
static int
remove_rows(const Settlement *s, Relation queue, Relation target)
{
	TupleTableSlot *slot = table_slot_create(queue, NULL);
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "otel settled row",
													  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(row_context);
	int			removed = 0;

	for (int i = 0; i < s->count; i++)
	{
		ItemPointerData tid = s->rows[i].tid;
		bool		isnull;

		if (!table_tuple_fetch_row_version(queue, &tid, GetActiveSnapshot(), slot) ||
			DatumGetTransactionId(slot_getsysattr(slot, MinTransactionIdAttributeNumber,
												  &isnull)) != s->rows[i].xmin)
			continue;
		if (target)
			copy_row(s, slot, target);
		ExecClearTuple(slot);
		quiet_delete(queue, &tid);
		removed++;
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(row_context);
	ExecDropSingleTupleTableSlot(slot);
	return removed;
}

/* Takes the rows out of the queue; returns how many there were, and whether another table has them. */
static int
settle_rows(const Settlement *s, const ExporterConfig *config, bool *moved)
{
	Relation	queue = queue_table_open(&span_queue_table, RowExclusiveLock);
	Relation	target = open_target(s, config);
	int			removed = 0;

	if (queue->rd_rel->relfilenode == s->filenode)
		removed = remove_rows(s, queue, target);
	*moved = target != NULL;
	if (target)
		table_close(target, NoLock);
	table_close(queue, NoLock);
	return removed;
}

void
settle(const Settlement *s, const ExporterConfig *config)
{
	MemoryContext context = CurrentMemoryContext;
	StateChange change = {0};
	bool		moved = false;
	int			removed = 0;

	lifecycle_begin();
	if (s->count > 0)			/* else the queue need not even be there: an error is noted */
		removed = settle_rows(s, config, &moved);

	change.start_failures = -1;
	change.error = s->error;
	if (s->verdict == VERDICT_EXPORTED)
	{
		change.success = true;
		change.rejected = Min(s->rejected, removed);
		change.exported = removed - change.rejected;
	}
	else if (!moved)
		change.dropped = removed;
	change_state(&change);
	lifecycle_commit();
	MemoryContextSwitchTo(context);
}
