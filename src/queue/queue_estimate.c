/*
 * queue_estimate.c: how many spans a table holds, at a cost that does not grow with it.
 *
 * It is for monitoring, which asks every few seconds; counting would read every row, which takes
 * 0.2 s or more for two million.  Here at most SAMPLE_PAGES pages are read.  If no more than that
 * may hold rows, all of them are read and the numbers are exact.  Otherwise evenly spaced ones are
 * read, and the numbers are scaled up.
 *
 * Small numbers are right because pages known to be empty are left out.  The files never shrink
 * (vacuum_truncate is off), so after a busy hour a few waiting spans may be among a hundred
 * thousand empty pages: a sample of all pages would mostly miss them, or turn ten into thousands.
 * A page that vacuum found empty, and to which nobody has written since, is all-visible, and all
 * its space is free; two maps say so.  The free space map does not survive a crash reliably, so
 * after one the numbers may be too low until the next vacuum.
 *
 * Alternatives: an index costs every span time (span_queue.c).  A shared count of rows would need a
 * lock at every COMMIT.  pg_stat_get_live_tuples() is free, but is 0 after a crash and wrong after
 * a vacuum that skips pages.  TABLESAMPLE samples the empty pages as well.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/visibilitymap.h"
#include "catalog/namespace.h"
#include "access/table.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/freespace.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "queue/queue_estimate.h"
#include "queue/queue_tables.h"
#include "queue/row_bytes.h"
#include "settings.h"

/* Maximum pages to read: 8 MB, or 60,000 spans without links. */
#define SAMPLE_PAGES 1000

/* Maximum pages to look up in the maps: those of 2 GB, about 20 ms. */
#define LOOKED_UP_PAGES (256 * 1024)

/*
 * A page with at least this much free space has no span, because a span needs more than the rest.
 */
#define EMPTY_PAGE_SPACE (BLCKSZ - SizeOfPageHeaderData - 64)

/* ---- which pages to read ---- */

static bool
is_known_empty(Relation rel, BlockNumber block, Buffer *map)
{
	return (visibilitymap_get_status(rel, block, map) & VISIBILITYMAP_ALL_VISIBLE) != 0 &&
		GetRecordedFreeSpace(rel, block) >= EMPTY_PAGE_SPACE;
}

/* Finds every step-th page of the table, if it may hold rows; returns how many. */
static int
find_pages(Relation rel, BlockNumber total, BlockNumber step, BlockNumber *pages)
{
	Buffer		map = InvalidBuffer;
	int			count = 0;

	for (int64 block = 0; block < total; block += step)
	{
		CHECK_FOR_INTERRUPTS();
		if (total <= SAMPLE_PAGES || !is_known_empty(rel, block, &map))
			pages[count++] = block;
	}
	if (BufferIsValid(map))
		ReleaseBuffer(map);
	return count;
}

/* ---- reading one ---- */

static void
add_row(QueueEstimate *estimate, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	TimestampTz end = DatumGetTimestampTz(heap_getattr(tuple, QUEUE_END_TIME + 1, desc, &isnull));

	estimate->spans++;
	estimate->bytes += row_bytes(tuple, desc);
	estimate->oldest = Min(estimate->oldest, end);
}

static void
add_page(QueueEstimate *estimate, Relation rel, BlockNumber block, BufferAccessStrategy strategy)
{
	Buffer		buffer = ReadBufferExtended(rel, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
	Page		page = BufferGetPage(buffer);
	OffsetNumber last;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	last = PageGetMaxOffsetNumber(page);
	for (OffsetNumber offset = FirstOffsetNumber; offset <= last; offset++)
	{
		ItemId		item = PageGetItemId(page, offset);
		HeapTupleData tuple;

		if (!ItemIdIsNormal(item))
			continue;
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple.t_len = ItemIdGetLength(item);
		tuple.t_tableOid = RelationGetRelid(rel);
		ItemPointerSet(&tuple.t_self, block, offset);
		if (HeapTupleSatisfiesVisibility(&tuple, GetActiveSnapshot(), buffer))
			add_row(estimate, &tuple, RelationGetDescr(rel));
	}
	UnlockReleaseBuffer(buffer);
}

QueueEstimate
queue_estimate(Relation rel)
{
	QueueEstimate estimate = {0, 0, DT_NOEND};
	BlockNumber total = RelationGetNumberOfBlocks(rel);
	BlockNumber step = 1 + total / LOOKED_UP_PAGES;
	BlockNumber *pages = palloc(sizeof(BlockNumber) * (total / step + 1));
	int			count = find_pages(rel, total, step, pages);
	int			read = Min(count, SAMPLE_PAGES);
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	double		scale = read > 0 ? (double) count * step / read : 0;

	for (int i = 0; i < read; i++)
	{
		CHECK_FOR_INTERRUPTS();
		add_page(&estimate, rel, pages[(int64) i * count / read], strategy);
	}
	FreeAccessStrategy(strategy);
	pfree(pages);
	estimate.spans = (int64) (estimate.spans * scale + 0.5);
	estimate.bytes = (int64) (estimate.bytes * scale + 0.5);
	return estimate;
}

/* ---- otel.estimate_spans(name) ---- */

/* NULL if the table is missing or was altered: the exporter reports that. */
static Relation
open_table(const char *name)
{
	QueueTable *const tables[] = {&span_queue_table, &failed_spans_table, &exported_spans_table};
	Oid			schema = get_namespace_oid("otel", true);

	for (int i = 0; i < (int) lengthof(tables); i++)
	{
		Oid			relid;
		Relation	rel;

		if (strcmp(name, tables[i]->name) != 0)
			continue;
		relid = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
		rel = OidIsValid(relid) ? try_table_open(relid, AccessShareLock) : NULL;
		if (rel && queue_table_mismatch(tables[i], rel))
		{
			table_close(rel, AccessShareLock);
			rel = NULL;
		}
		return rel;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" is not a table of spans", name),
			 errhint("The tables of spans are span_queue, failed_spans and exported_spans.")));
}

/* estimate_spans(name) → (spans, bytes, oldest, max_bytes) */
PG_FUNCTION_INFO_V1(otel_estimate_spans);
Datum
otel_estimate_spans(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[4];
	bool		nulls[4] = {true, true, true, false};
	Relation	rel = open_table(NameStr(*PG_GETARG_NAME(0)));

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != 4)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("otel.estimate_spans() returns a row of four columns")));
	if (rel)
	{
		QueueEstimate estimate = queue_estimate(rel);

		table_close(rel, AccessShareLock);
		values[0] = Int64GetDatum(estimate.spans);
		values[1] = Int64GetDatum(estimate.bytes);
		values[2] = TimestampTzGetDatum(estimate.oldest);
		nulls[0] = nulls[1] = false;
		nulls[2] = estimate.spans == 0;
	}
	values[3] = Int64GetDatum((int64) otel_queue_max_size * 1024);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
