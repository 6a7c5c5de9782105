/*
 * bound.c: keeping the queue below otel.queue_max_size.
 *
 * The bytes of the waiting spans count, not those of the files: only vacuum can free the space of
 * exported spans, and dropping others would not help.  The size of the files only tells when
 * counting is worth while.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "exporter/bound.h"
#include "compat.h"
#include "queue/queue_tables.h"
#include "queue/file_room.h"
#include "exporter/lifecycle.h"
#include "exporter/pacing.h"
#include "queue/row_bytes.h"
#include "exporter/settle.h"

/* Rows dropped in one transaction. */
#define DROP_BATCH 10000

/* Drop down to this much of the limit, so that not every new span causes a drop. */
#define TARGET_PERCENT 90

/* The search for the oldest spans sorts their end times into this many buckets. */
#define AGE_BUCKETS 4096

/* What the queue holds. */
typedef struct QueueContents
{
	int64		bytes;
	TimestampTz first;			/* the earliest and the latest end of a span */
	TimestampTz last;
} QueueContents;

/* Which spans to drop: this many bytes of those that ended by then. */
typedef struct Surplus
{
	int64		bytes;
	TimestampTz until;
} Surplus;

/*
 * When the row's span ended.  A value written by hand may be infinite; it is bounded, so that the
 * difference of two values does not overflow.
 */
static TimestampTz
end_time(HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	TimestampTz end = DatumGetTimestampTz(heap_getattr(tuple, QUEUE_END_TIME + 1, desc, &isnull));

	return Max(Min(end, PG_INT64_MAX / 4), PG_INT64_MIN / 4);
}

static QueueContents
measure(Relation queue)
{
	QueueContents contents = {0, DT_NOEND, DT_NOBEGIN};
	TupleDesc	desc = RelationGetDescr(queue);
	TableScanDesc scan = table_scan_all(queue, GetActiveSnapshot());
	HeapTuple	tuple;

	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		TimestampTz end = end_time(tuple, desc);

		contents.bytes += row_bytes(tuple, desc);
		contents.first = Min(contents.first, end);
		contents.last = Max(contents.last, end);
	}
	table_endscan(scan);
	return contents;
}

/*
 * The time by which the oldest spans, this many bytes of them, had ended.  A span's place in the
 * table says little about its age, because vacuum frees space anywhere, and there are too many
 * spans to sort.
 */
static TimestampTz
find_cutoff(Relation queue, const QueueContents *contents, int64 bytes)
{
	TupleDesc	desc = RelationGetDescr(queue);
	TableScanDesc scan = table_scan_all(queue, GetActiveSnapshot());
	int64		width = (contents->last - contents->first) / AGE_BUCKETS + 1;
	int64	   *buckets = palloc0(sizeof(int64) * AGE_BUCKETS);
	HeapTuple	tuple;
	int			bucket = 0;

	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
		buckets[(end_time(tuple, desc) - contents->first) / width] += row_bytes(tuple, desc);
	table_endscan(scan);
	while (bucket < AGE_BUCKETS - 1 && (bytes -= buckets[bucket]) > 0)
		bucket++;
	pfree(buckets);
	return contents->first + width * (bucket + 1) - 1;
}

/* What has to be dropped; 0 bytes when nothing has. */
static Surplus
find_surplus(const ExporterConfig *config)
{
	Surplus		surplus = {0};
	Relation	queue;

	lifecycle_begin();
	queue = queue_table_open(&span_queue_table, AccessShareLock);
	if (file_bytes(queue) > config->queue_max_bytes)
	{
		QueueContents contents = measure(queue);

		if (contents.bytes > config->queue_max_bytes)
		{
			surplus.bytes = contents.bytes - config->queue_max_bytes / 100 * TARGET_PERCENT;
			surplus.until = find_cutoff(queue, &contents, surplus.bytes);
		}
	}
	table_close(queue, AccessShareLock);
	lifecycle_commit();
	return surplus;
}

/* Drops some of the surplus; returns its size in bytes. */
static int64
drop_some(const ExporterConfig *config, const Surplus *surplus, BatchRow *rows)
{
	Settlement	settlement = {0};
	Relation	queue;
	TableScanDesc scan;
	HeapTuple	tuple;
	int64		bytes = 0;

	lifecycle_begin();
	queue = queue_table_open(&span_queue_table, AccessShareLock);
	scan = table_scan_all(queue, GetActiveSnapshot());
	while (bytes < surplus->bytes && settlement.count < DROP_BATCH &&
		   (tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		BatchRow   *row = &rows[settlement.count];

		if (end_time(tuple, RelationGetDescr(queue)) > surplus->until)
			continue;
		bytes += row_bytes(tuple, RelationGetDescr(queue));
		row->tid = tuple->t_self;
		row->xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
		settlement.count++;
	}
	table_endscan(scan);
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
bound_enforce(const ExporterConfig *config, void (*tick) (void))
{
	static Pacing pacing;
	MemoryContext context = CurrentMemoryContext;
	BatchRow   *rows;
	Surplus		surplus;

	if (!pacing_is_due(&pacing))
		return;
	pacing_begin(&pacing);
	surplus = find_surplus(config);
	MemoryContextSwitchTo(context);
	rows = surplus.bytes > 0 ? palloc(sizeof(BatchRow) * DROP_BATCH) : NULL;
	while (surplus.bytes > 0)
	{
		int64		dropped = drop_some(config, &surplus, rows);

		CHECK_FOR_INTERRUPTS();
		tick();
		if (dropped == 0)
			break;
		surplus.bytes -= dropped;
	}
	if (rows)
		pfree(rows);
	pacing_end(&pacing);
}
