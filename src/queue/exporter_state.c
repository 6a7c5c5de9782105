/*
 * exporter_state.c: the row of otel.exporter_state.
 *
 * Rows are replaced by delete and insert (quiet_heap.h).  Each change leaves a deleted row, which
 * stays while somebody holds an old snapshot.  So the place of the live row is remembered.  When it
 * was searched for from the table's start, 3,400 batches of one span were exported a second, and
 * after 100,000 of them only 600; now it is always 12,000 or more.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "queue/counter.h"
#include "queue/exporter_state.h"
#include "queue/queue_tables.h"
#include "queue/quiet_heap.h"

Datum
exporter_message_datum(const char *message)
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

static bool
is_own(const Datum *values)
{
	return (uint64) DatumGetInt64(values[STATE_ORIGIN_SYSTEM]) == GetSystemIdentifier() &&
		DatumGetObjectId(values[STATE_ORIGIN_DATABASE]) == MyDatabaseId;
}

/* Looks for this database's row from a TID on, and puts it into the slot; false: there is none. */
static bool
find_state(Relation state, ItemPointerData first, TupleTableSlot *slot)
{
	ItemPointerData last;
	TableScanDesc scan;
	bool		found = false;

	ItemPointerSet(&last, MaxBlockNumber, MaxOffsetNumber);
	scan = table_scan_tid_range(state, GetActiveSnapshot(), &first, &last);
	while (!found && table_scan_getnextslot_tidrange(scan, ForwardScanDirection, slot))
	{
		slot_getallattrs(slot);
		found = is_own(slot->tts_values);
	}
	if (found)
		ExecMaterializeSlot(slot);
	table_endscan(scan);
	return found;
}

static void
add_to(Datum *count, int64 more)
{
	*count = Int64GetDatum(DatumGetInt64(*count) + more);
}

static void
apply_change(const ExporterStateChange *change, Datum *values, bool *nulls)
{
	add_to(&values[STATE_EXPORTED], change->exported);
	add_to(&values[STATE_REJECTED], change->rejected);
	add_to(&values[STATE_DROPPED], change->dropped);
	if (change->started)
		values[STATE_START_FAILURES_SEEN] = Int64GetDatum(counter_value("exporter_start_failures"));
	if (change->success)
	{
		values[STATE_LAST_SUCCESS] = TimestampTzGetDatum(GetCurrentTimestamp());
		nulls[STATE_LAST_SUCCESS] = false;
	}
	if (change->error)
	{
		values[STATE_LAST_ERROR_AT] = TimestampTzGetDatum(GetCurrentTimestamp());
		values[STATE_LAST_ERROR] = exporter_message_datum(change->error);
		nulls[STATE_LAST_ERROR_AT] = nulls[STATE_LAST_ERROR] = false;
	}
}

/* Does the row already say all that is in the change? */
static bool
changes_nothing(const ExporterStateChange *change, bool found, const Datum *values)
{
	return change->started && !change->success && change->error == NULL &&
		counter_value("exporter_start_failures") ==
		(found ? DatumGetInt64(values[STATE_START_FAILURES_SEEN]) : 0);
}

void
exporter_state_change(const ExporterStateChange *change)
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
	{
		values[STATE_ORIGIN_SYSTEM] = Int64GetDatum((int64) GetSystemIdentifier());
		values[STATE_ORIGIN_DATABASE] = ObjectIdGetDatum(MyDatabaseId);
		nulls[STATE_LAST_SUCCESS] = nulls[STATE_LAST_ERROR_AT] = nulls[STATE_LAST_ERROR] = true;
	}
	if (!changes_nothing(change, found, values))
	{
		apply_change(change, values, nulls);
		place = quiet_insert(state, values, nulls, STATE_COLUMNS);
		if (found)
			quiet_delete(state, &slot->tts_tid);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_close(state, NoLock);
}

/*
 * The row is replaced with every batch, so it is mostly the last one; an old snapshot may keep many
 * deleted ones before it.
 */
int64
exporter_state_exported(Snapshot snapshot)
{
	Relation	state = queue_table_open(&exporter_state_table, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(state);
	Datum	   *values = palloc(desc->natts * sizeof(Datum));
	bool	   *nulls = palloc(desc->natts * sizeof(bool));
	TableScanDesc scan = table_scan_all(state, snapshot);
	HeapTuple	tuple;
	int64		exported = 0;

	while ((tuple = heap_getnext(scan, BackwardScanDirection)) != NULL)
	{
		heap_deform_tuple(tuple, desc, values, nulls);
		if (!is_own(values))
			continue;
		exported = DatumGetInt64(values[STATE_EXPORTED]);
		break;
	}
	table_endscan(scan);
	table_close(state, AccessShareLock);
	pfree(values);
	pfree(nulls);
	return exported;
}
