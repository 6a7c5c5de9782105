/*
 * settle.c: what becomes of rows.
 *
 * Rows only ever move by delete and insert (quiet_heap.h).  A TID may come to mean another row, or
 * none.  VACUUM FULL moves all rows, which changes the table's filenode; the place of a row that
 * was deleted by hand may be used again, by a row with another xmin.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "queue/exporter_state.h"
#include "queue/queue_tables.h"
#include "queue/file_room.h"
#include "exporter/lifecycle.h"
#include "exporter/pacing.h"
#include "queue/quiet_heap.h"
#include "queue/row_bytes.h"
#include "exporter/settle.h"

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
	ExporterStateChange change = {0};

	change.started = true;
	lifecycle_begin();
	exporter_state_change(&change);
	lifecycle_commit();
}

/* ---- rows ---- */

/*
 * Is otel.failed_spans full?  It may become as large as the queue.  Deleted rows, such as those
 * that otel.retry_failed() moves, take room in the files until they are vacuumed, and must not
 * cause others to be dropped.  So the bytes of the files that belong to no row are counted.  That
 * reads the whole table, so the result is used for a while.
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

/* Opens the table to which the rows move; NULL when they are only deleted. */
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
		values[FAILED_ERROR] = exporter_message_datum(s->error);
	}
	quiet_insert(target, values, nulls,
				 s->verdict == VERDICT_EXPORTED ? EXPORTED_COLUMNS : FAILED_COLUMNS);
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

/*
 * Takes the rows out of the queue.  Returns how many were there; *moved is whether they are in
 * another table now.
 */
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
	ExporterStateChange change = {0};
	bool		moved = false;
	int			removed = 0;

	lifecycle_begin();
	if (s->count > 0)			/* an error can be noted even if there is no queue */
		removed = settle_rows(s, config, &moved);

	change.error = s->error;
	if (s->verdict == VERDICT_EXPORTED)
	{
		change.success = true;
		change.rejected = Min(s->rejected, removed);
		change.exported = removed - change.rejected;
	}
	else if (!moved)
		change.dropped = removed;
	exporter_state_change(&change);
	lifecycle_commit();
	MemoryContextSwitchTo(context);
}
