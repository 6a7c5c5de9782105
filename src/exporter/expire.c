/*
 * expire.c: removing what otel.retention no longer keeps from otel.exported_spans.
 *
 * No index finds the oldest rows, so the whole table is read: in steps, each in a
 * short transaction of its own, between which spans are exported and who waits for the database
 * is seen.  It is not read again before the oldest row that stayed has expired.  A hundredth of
 * the retention more spares reading it for every span of a steady stream.
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
 * Blocks read in one step, not rows: so deleted ones count, too.  Some 10,000 rows, and
 * milliseconds.
 */
#define STEP_BLOCKS 256

/* A way through the table. */
typedef struct Pass
{
	bool		under_way;
	int			retention_s;	/* as it was at the start */
	TimestampTz limit;			/* what was exported by then goes */
	TimestampTz oldest;			/* of what stays */
	BlockNumber next;			/* where to go on */
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
 * The next pass is due when the oldest row that stayed expires.  How far away that is follows
 * from the wall clock, and is waited for by the other: a wall clock that is set back delays it by
 * a retention at most.
 */
static void
end_pass(TimestampTz now)
{
	const int64 retention = (int64) pass.retention_s * USECS_PER_SEC;
	int64		wait = pass.oldest + retention - now;

	pass.under_way = false;
	next_pass = monotonic_us() + Max(Min(wait, retention), 0) + retention / 100;
	if (retention == 0)
		next_pass = PG_INT64_MAX;	/* nothing comes that could expire */
	pacing_rest(&pacing, pass.spent);
}

/* One step; false at the table's end. */
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
