/*
 * expire.c: removing what otel.retention no longer keeps from otel.exported_spans.
 *
 * No index finds the oldest rows, so the whole table is read, in steps.  Each step is a short
 * transaction; between steps, spans are exported and the database is given up when somebody wants
 * to drop or copy it.  The table is not read again before the oldest row that stayed has expired
 * and a hundredth of the retention more has passed: otherwise, each span of a steady stream would
 * cause a pass.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "storage/bufmgr.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "exporter/expire.h"
#include "queue/queue_tables.h"
#include "exporter/lifecycle.h"
#include "exporter/pacing.h"
#include "queue/quiet_heap.h"

/*
 * Blocks that one step reads.  Blocks, not rows, so that deleted rows count as well.  They hold
 * some 10,000 rows and take milliseconds.
 */
#define STEP_BLOCKS 256

/* A pass through the table. */
typedef struct Pass
{
	bool		under_way;
	int			retention_s;	/* as it was at the start */
	TimestampTz limit;			/* rows exported by then are deleted */
	TimestampTz oldest;			/* when the oldest row that stays was exported */
	BlockNumber next;			/* where the next step begins */
	int64		spent;			/* microseconds */
} Pass;

static Pass pass = {.retention_s = -1};
static int64 next_pass;			/* monotonic_us() */
static Pacing pacing;

static void
begin_pass(int retention_s, TimestampTz now)
{
	pass.under_way = true;
	pass.retention_s = retention_s;
	pass.limit = now - (int64) retention_s * USECS_PER_SEC;
	pass.oldest = now;
	pass.spent = 0;
	pass.next = 0;
}

/*
 * The next pass is due when the oldest row that stayed expires.  The wall clock says how far away
 * that is, and the monotonic clock measures the wait, so that setting the wall clock back delays
 * the pass by no more than the retention.
 */
static void
end_pass(TimestampTz now)
{
	const int64 retention = (int64) pass.retention_s * USECS_PER_SEC;
	int64		wait = pass.oldest + retention - now;

	pass.under_way = false;
	next_pass = monotonic_us() + Max(Min(wait, retention), 0) + retention / 100;
	if (retention == 0)
		next_pass = PG_INT64_MAX;	/* no rows are kept any more */
	pacing_rest(&pacing, pass.spent);
}

/* Does one step.  False at the table's end. */
static bool
step(void)
{
	ItemPointerData first;
	ItemPointerData last;
	Relation	kept;
	TableScanDesc scan;
	TupleTableSlot *slot;
	BlockNumber blocks;

	lifecycle_begin();
	kept = queue_table_open(&exported_spans_table, RowExclusiveLock);
	blocks = RelationGetNumberOfBlocks(kept);
	slot = table_slot_create(kept, NULL);
	ItemPointerSet(&first, pass.next, FirstOffsetNumber);
	ItemPointerSet(&last, pass.next + STEP_BLOCKS - 1, MaxOffsetNumber);
	scan = table_scan_tid_range(kept, GetActiveSnapshot(), &first, &last);
	while (table_scan_getnextslot_tidrange(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		TimestampTz at = DatumGetTimestampTz(slot_getattr(slot, EXPORTED_AT + 1, &isnull));

		if (at > pass.limit)
			pass.oldest = Min(pass.oldest, at);
		else
			quiet_delete(kept, &slot->tts_tid);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(kept, NoLock);
	lifecycle_commit();
	pass.next += STEP_BLOCKS;
	return pass.next < blocks;
}

bool
expire_some(const ExporterConfig *config)
{
	int64		start = monotonic_us();
	bool		more;

	if (config->retention_s != pass.retention_s ||
		(!pass.under_way && start >= next_pass && pacing_is_due(&pacing)))
		begin_pass(config->retention_s, GetCurrentTimestamp());
	if (!pass.under_way)
		return false;
	more = step();
	pass.spent += monotonic_us() - start;
	if (!more)
		end_pass(GetCurrentTimestamp());
	return more;
}
