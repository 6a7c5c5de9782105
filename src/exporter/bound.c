/*
 * bound.c: keeping the queue below otel.queue_max_size.
 *
 * What counts is the bytes of the spans that wait, not of the files: vacuum frees the room of spans that
 * were exported when it can, and dropping others would not help it.  The files only tell when it is worth
 * counting.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/detoast.h"
#include "access/table.h"
#include "access/tableam.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "bound.h"
#include "compat.h"
#include "export_tables.h"
#include "lifecycle.h"
#include "settle.h"

/* Rows dropped in one transaction. */
#define DROP_BATCH 10000

/* Room is made for a tenth, so that it is not made for every span. */
#define TARGET_PERCENT 90

/* Counting reads the whole queue; this many times as long passes before it is done again. */
#define PAUSE_FACTOR 20

/* The bytes of a row, those that are toasted outside of it included. */
static int64
row_bytes(HeapTuple tuple, TupleDesc desc)
{
	int64		bytes = tuple->t_len;
	Datum		values[QUEUE_COLUMNS];
	bool		nulls[QUEUE_COLUMNS];

	if (!HeapTupleHasExternal(tuple))
		return bytes;
	heap_deform_tuple(tuple, desc, values, nulls);
	for (int i = 0; i < QUEUE_COLUMNS; i++)
	{
		if (!nulls[i] && TupleDescAttr(desc, i)->attlen == -1 &&
			VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(values[i])))
			bytes += toast_datum_size(values[i]);
	}
	return bytes;
}

/*
 * Walks the queue from its oldest end.  With rows, collects up to DROP_BATCH of them whose bytes come to
 * what is to be freed; without, counts them all.  Returns the bytes.
 */
static int64
walk_queue(Relation queue, int64 enough, QueueRow *rows, int *count)
{
	TableScanDesc scan = table_scan_all(queue, GetActiveSnapshot());
	HeapTuple	tuple;
	int64		bytes = 0;

	*count = 0;
	while (bytes < enough && (rows == NULL || *count < DROP_BATCH) &&
		   (tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		bytes += row_bytes(tuple, RelationGetDescr(queue));
		if (rows)
		{
			rows[*count].tid = tuple->t_self;
			rows[*count].xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
		}
		(*count)++;
	}
	table_endscan(scan);
	return bytes;
}

/* How many bytes are too many; 0 when none are. */
static int64
excess(const ExporterConfig *config)
{
	Relation	queue;
	int64		bytes = 0;
	int			count;

	lifecycle_begin();
	queue = lifecycle_open_table("span_queue", AccessShareLock);
	if (settle_file_bytes(queue) > config->queue_max_bytes)
		bytes = walk_queue(queue, PG_INT64_MAX, NULL, &count);
	table_close(queue, AccessShareLock);
	lifecycle_commit();
	return bytes > config->queue_max_bytes ?
		bytes - config->queue_max_bytes / 100 * TARGET_PERCENT : 0;
}

/* Drops up to DROP_BATCH of the oldest; returns the bytes they had. */
static int64
drop_oldest(const ExporterConfig *config, int64 enough, QueueRow *rows)
{
	Settlement	settlement = {0};
	Relation	queue;
	int64		bytes;

	lifecycle_begin();
	queue = lifecycle_open_table("span_queue", AccessShareLock);
	bytes = walk_queue(queue, enough, rows, &settlement.count);
	settlement.filenode = queue->rd_rel->relfilenode;
	table_close(queue, AccessShareLock);
	lifecycle_commit();

	settlement.rows = rows;
	settlement.verdict = VERDICT_DROPPED;
	settlement.error = "otel.queue_max_size exceeded: the oldest spans were dropped";
	settle(&settlement, config);
	return bytes;
}

void
bound_enforce(const ExporterConfig *config)
{
	static TimestampTz next_count;
	TimestampTz start = GetCurrentTimestamp();
	MemoryContext context = CurrentMemoryContext;
	QueueRow   *rows;
	int64		left;

	if (start < next_count)
		return;
	left = excess(config);
	MemoryContextSwitchTo(context);
	rows = left > 0 ? palloc(sizeof(QueueRow) * DROP_BATCH) : NULL;
	while (left > 0)
	{
		int64		dropped = drop_oldest(config, left, rows);

		CHECK_FOR_INTERRUPTS();
		if (dropped == 0)
			break;
		left -= dropped;
	}
	if (rows)
		pfree(rows);
	next_count = GetCurrentTimestamp();
	next_count += (next_count - start) * PAUSE_FACTOR;
}
