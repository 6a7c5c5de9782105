/*
 * batch.c: reading rows of the queue.
 *
 * The queue has no index.  It is read by TID range from where the last batch ended, so that a
 * backlog is read once, however many deleted rows before it are kept by an old snapshot.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "exporter/batch.h"
#include "compat.h"
#include "queue/queue_tables.h"
#include "exporter/lifecycle.h"
#include "exporter/otlp/otlp_span.h"
#include "exporter/pacing.h"
#include "monotonic.h"

/*
 * Maximum rows that are passed over because they can neither be encoded nor moved; one more is an
 * error.
 */
#define MAX_SKIPPED 64

/* How many blocks of the queue batch_is_full() always looks at. */
#define LOOK_BLOCKS 64

/* A row that is passed over. */
typedef struct SkippedRow
{
	BatchRow	row;
	int			times;			/* how often it was postponed; 0: it is passed over for good */
	int64		until;			/* monotonic_ms() when its pause ends */
} SkippedRow;

static SkippedRow skipped[MAX_SKIPPED];
static int	nskipped;

static SkippedRow *
find_skipped(const BatchRow *row)
{
	for (int i = 0; i < nskipped; i++)
	{
		ItemPointerData tid = row->tid;

		if (ItemPointerEquals(&skipped[i].row.tid, &tid) && skipped[i].row.xmin == row->xmin)
			return &skipped[i];
	}
	return NULL;
}

/* A free entry, or else that of the postponed row whose pause ends first. */
static SkippedRow *
new_skipped(const BatchRow *row)
{
	SkippedRow *oldest = NULL;

	if (nskipped < MAX_SKIPPED)
		oldest = &skipped[nskipped++];
	else
	{
		for (int i = 0; i < nskipped; i++)
		{
			if (skipped[i].times > 0 && (oldest == NULL || skipped[i].until < oldest->until))
				oldest = &skipped[i];
		}
	}
	if (oldest == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("more than %d rows of otel.span_queue cannot be read", MAX_SKIPPED)));
	oldest->row = *row;
	oldest->times = 0;
	return oldest;
}

void
batch_skip(const BatchRow *row)
{
	SkippedRow *entry = new_skipped(row);

	entry->until = PG_INT64_MAX;
}

int
batch_postpone(const BatchRow *row, long ms)
{
	SkippedRow *entry = find_skipped(row);

	if (entry == NULL)
		entry = new_skipped(row);
	entry->until = monotonic_ms() + (ms << entry->times);
	entry->times++;
	return entry->times;
}

static bool
is_skipped(const BatchRow *row)
{
	SkippedRow *entry = nskipped > 0 ? find_skipped(row) : NULL;

	return entry && monotonic_ms() < entry->until;
}

/* Was the row recorded by another server or database?  A copy of a database has such rows. */
static bool
is_stray(TupleTableSlot *slot)
{
	return (uint64) DatumGetInt64(slot->tts_values[QUEUE_ORIGIN_SYSTEM]) != GetSystemIdentifier() ||
		DatumGetObjectId(slot->tts_values[QUEUE_ORIGIN_DATABASE]) != MyDatabaseId;
}

static BatchRow
row_of_slot(TupleTableSlot *slot)
{
	BatchRow	row;
	bool		isnull;

	row.tid = slot->tts_tid;
	row.xmin = DatumGetTransactionId(slot_getsysattr(slot, MinTransactionIdAttributeNumber,
													 &isnull));
	row.end = 0;
	return row;
}

/*
 * Reading relies on NOT NULL.  PostgreSQL 18 lets an owner drop such a constraint and add it again
 * as NOT VALID, which does not check the rows that are there.
 */
static void
check_not_null(TupleTableSlot *slot)
{
	for (int i = 0; i < QUEUE_COLUMNS; i++)
	{
		if (slot->tts_isnull[i] && span_queue_table.columns[i].not_null)
			ereport(ERROR,
					(errcode(ERRCODE_NOT_NULL_VIOLATION),
					 errmsg("column \"%s\" of a span in the queue is null",
							span_queue_table.columns[i].name)));
	}
}

/* Adds the slot's row.  False, with nothing changed, when the batch would become too large. */
static bool
add_row(Batch *batch, TupleDesc event_columns, TupleTableSlot *slot, size_t max_bytes)
{
	size_t		before = batch->spans.buf.len;
	BatchRow	row = row_of_slot(slot);

	otlp_append_span(&batch->spans, event_columns, slot->tts_values, slot->tts_isnull);
	if (batch->spans.buf.len > max_bytes && batch->count > 0)
	{
		batch->spans.buf.len = before;
		return false;
	}
	row.end = batch->spans.buf.len;
	batch->rows[batch->count++] = row;
	return true;
}

/* Reads into the batch.  If it raises because of a row, batch->damaged is that row. */
static void
scan_queue(Batch *batch, const ExporterConfig *config, size_t max_bytes)
{
	Relation	queue = queue_table_open(&span_queue_table, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(queue, NULL);
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "otel row",
													  ALLOCSET_DEFAULT_SIZES);
	ItemPointerData last;
	TableScanDesc scan;
	TupleDesc	event_columns;
	MemoryContext old;
	bool		room = true;

	batch->filenode = queue->rd_rel->relfilenode;
	event_columns = otlp_event_columns(RelationGetDescr(queue));
	ItemPointerSet(&last, MaxBlockNumber, MaxOffsetNumber);
	scan = table_scan_tid_range(queue, GetActiveSnapshot(), &batch->next, &last);
	old = MemoryContextSwitchTo(row_context);
	while (room && batch->count < config->max_batch_size && batch->nstrays < config->max_batch_size)
	{
		if (!table_scan_getnextslot_tidrange(scan, ForwardScanDirection, slot))
		{
			batch->reached_end = true;
			break;
		}
		batch->damaged = row_of_slot(slot);
		batch->next = slot->tts_tid;
		if (!is_skipped(&batch->damaged))
		{
			slot_getallattrs(slot);
			check_not_null(slot);
			if (is_stray(slot))
				batch->strays[batch->nstrays++] = batch->damaged;
			else
				room = add_row(batch, event_columns, slot, max_bytes);
		}
		if (room)
			ItemPointerInc(&batch->next);
		ItemPointerSetInvalid(&batch->damaged.tid);	/* it is not to blame for what comes next */
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(old);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(queue, AccessShareLock);
}

void
batch_read(Batch *batch, const ExporterConfig *config, const ItemPointerData *from,
		   size_t max_bytes, bool idle)
{
	MemoryContext context = CurrentMemoryContext;

	memset(batch, 0, sizeof(*batch));
	batch->rows = palloc(sizeof(BatchRow) * config->max_batch_size);
	batch->strays = palloc(sizeof(BatchRow) * config->max_batch_size);
	batch->spans.json = config->json;
	buffer_init(&batch->spans.buf);
	batch->first = batch->next = *from;
	ItemPointerSetInvalid(&batch->damaged.tid);

	lifecycle_begin();
	batch->stale = lifecycle_settings_changed(idle);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		if (!batch->stale)
			scan_queue(batch, config, max_bytes);
		if (batch->count > 0)
			envelope_make(&batch->envelope, config);
		lifecycle_commit();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		/*
		 * Only the row that is being read can be to blame; the worker recovers from anything else.
		 */
		if (!ItemPointerIsValid(&batch->damaged.tid) || geterrcode() == ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		lifecycle_abort();
		batch->damage = error->message;
		batch->count = batch->nstrays = 0;
		batch->next = *from;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
}

/* Counts the rows of some blocks, up to max. */
static int
count_rows(Relation queue, BlockNumber first_block, BlockNumber blocks, int max)
{
	ItemPointerData first;
	ItemPointerData last;
	TableScanDesc scan;
	TupleTableSlot *slot = table_slot_create(queue, NULL);
	int			count = 0;

	ItemPointerSet(&first, first_block, FirstOffsetNumber);
	ItemPointerSet(&last, first_block + blocks - 1, MaxOffsetNumber);
	scan = table_scan_tid_range(queue, GetActiveSnapshot(), &first, &last);
	while (count < max && table_scan_getnextslot_tidrange(scan, ForwardScanDirection, slot))
		count++;
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return count;
}

/*
 * New rows are near the place where reading ended, or wherever vacuum has freed space.  So the
 * whole queue is looked at as well, but for no more than a twentieth of the time.
 */
bool
batch_is_full(const ExporterConfig *config, const ItemPointerData *from)
{
	static Pacing whole;
	MemoryContext context = CurrentMemoryContext;
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(from);
	BlockNumber around = block > LOOK_BLOCKS / 2 ? block - LOOK_BLOCKS / 2 : 0;
	Relation	queue;
	int			count;

	lifecycle_begin();
	queue = queue_table_open(&span_queue_table, AccessShareLock);
	count = count_rows(queue, around, LOOK_BLOCKS, config->max_batch_size);
	if (count < config->max_batch_size && pacing_is_due(&whole))
	{
		pacing_begin(&whole);
		count = count_rows(queue, 0, Max(RelationGetNumberOfBlocks(queue), 1),
						   config->max_batch_size);
		pacing_end(&whole);
	}
	table_close(queue, AccessShareLock);
	lifecycle_commit();
	MemoryContextSwitchTo(context);
	return count >= config->max_batch_size;
}
