/*
 * worker.c: the background worker that exports one database's spans.
 *
 * Its loop: read a batch in a short transaction, send it with none open, settle it in another.  Where
 * nothing is left it waits; where the collector does not take spans it waits longer each time.  It comes
 * and goes as lifecycle.c and queue/exporter_guard.h say.
 *
 * An error, such as a full disk or a damaged page gives, does not end it: that would free the guard, and every
 * commit would register another worker to fail alike.  It waits as after a failure of the collector and goes
 * on, but sends nothing before it has noted the error in otel.exporter_state: where not even that can be
 * written, what is sent could not be settled, and would be sent again and again.
 *
 * Transactions commit in another order than they wrote, and vacuum makes room anywhere in the queue, so
 * that rows appear before the place where reading has come to.  The end of the queue is therefore
 * followed by another pass from its start, unless such passes cost more than a twentieth of the time, as
 * they do while an old snapshot keeps many deleted rows.  What counts is how long the read took that came
 * to the end: those before it were full of rows to send, and sending and waiting cost the server nothing.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "common/pg_prng.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "exporter/batch.h"
#include "exporter/bound.h"
#include "compat.h"
#include "exporter/config.h"
#include "exporter/deliver.h"
#include "exporter/expire.h"
#include "queue/exporter_guard.h"
#include "exporter/lifecycle.h"
#include "exporter/otlp/utf8.h"
#include "exporter/settle.h"
#include "exporter/transport.h"

pg_noreturn extern PGDLLEXPORT void otel_exporter_main(Datum arg);

/* How often it looks whether somebody waits for its database to be free: at rest, and at most. */
#define YIELD_INTERVAL_MS 500
#define YIELD_INTERVAL_MIN_MS 200

/* Waiting after a failure: doubled each time, with jitter, so that many servers do not return at once. */
#define BACK_OFF_MIN_MS 1000
#define BACK_OFF_MAX_MS 60000

/* Who waits in otel.force_flush() has no more attempts made than one in this time. */
#define FLUSH_INTERVAL_MS 1000

/* A pass from the queue's start may be followed by the next after so many times what it cost. */
#define PASS_PAUSE_FACTOR 20

/* After a request that was too large, so many batches are taken before larger ones are tried again. */
#define GROW_AFTER 64

/* How often kept spans and the queue's size are looked after; how much later when that may have failed. */
#define HOUSEKEEPING_INTERVAL_MS 1000
#define HOUSEKEEPING_PAUSE_MS 60000

typedef struct Exporter
{
	ExporterConfig config;
	MemoryContext config_context;
	MemoryContext batch_context;	/* reset for each batch */

	/* where reading is */
	ItemPointerData next;
	bool		whole_pass;		/* did this pass begin at the queue's start? */
	TimestampTz next_whole_pass;	/* not before */

	/* requests that are too large for a server or the link to it are not made again for a while */
	size_t		max_bytes;
	int			small_enough;	/* requests of that size taken since */

	/* after failures */
	int			failures;
	TimestampTz retry_at;
	TimestampTz not_before;		/* not even for who waits in otel.force_flush() */

	/* an error of our own, the last since spans were sent; empty when there was none */
	char		trouble[256];
	bool		trouble_noted;

	bool		prepared;
	TimestampTz idle_since;
	TimestampTz next_housekeeping;
} Exporter;

static Exporter exporter;

static void
read_config(void)
{
	MemoryContext old;

	MemoryContextReset(exporter.config_context);
	old = MemoryContextSwitchTo(exporter.config_context);
	config_read(&exporter.config);
	MemoryContextSwitchTo(old);
	exporter.max_bytes = BATCH_MAX_BYTES;
	exporter.small_enough = 0;
}

/* Goes on from the queue's start. */
static void
begin_whole_pass(void)
{
	ItemPointerSet(&exporter.next, 0, FirstOffsetNumber);
	exporter.whole_pass = true;
}

/* What has to be done now and then whatever else happens; also while a request is under way. */
static void
tick(void)
{
	static TimestampTz last;
	TimestampTz now = GetCurrentTimestamp();
	MemoryContext context = CurrentMemoryContext;

	if (!TimestampDifferenceExceeds(last, now, YIELD_INTERVAL_MIN_MS))
		return;
	last = now;
	lifecycle_yield_database();
	MemoryContextSwitchTo(context);
}

/* What has to be done between batches as well as at rest. */
static void
attend(void)
{
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		read_config();
		exporter.retry_at = 0;
	}
	tick();
}

/*
 * Waits until the latch is set (true) or the time has passed (false).  Everything that wakes the worker
 * sets the latch: whoever wants a flush, a writer with a full batch, and a reload.
 */
static bool
wait_ms(long ms)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);

	for (;;)
	{
		long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);
		int			events = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
									   Min(left, YIELD_INTERVAL_MS), PG_WAIT_EXTENSION);

		if (events & WL_LATCH_SET)
			ResetLatch(MyLatch);
		attend();
		if (events & WL_LATCH_SET)
			return true;
		if (GetCurrentTimestamp() >= end)
			return false;
	}
}

/*
 * When to try again after one more failure, and when at the earliest: when the server says, where it does.
 * Where what was sent has left the queue, each attempt costs spans, and nobody's wish makes it earlier.
 */
static void
schedule_retry(bool spans_stayed, long retry_after_ms)
{
	TimestampTz now = GetCurrentTimestamp();
	double		ms = BACK_OFF_MAX_MS;

	if (exporter.failures < 6)
		ms = Min(ms, BACK_OFF_MIN_MS << exporter.failures);
	exporter.failures++;
	ms *= 0.5 + 0.5 * pg_prng_double(&pg_global_prng_state);
	ms = Max(ms, retry_after_ms);
	exporter.retry_at = TimestampTzPlusMilliseconds(now, (int64) ms);
	if (spans_stayed)
		exporter.not_before = TimestampTzPlusMilliseconds(now, Max(retry_after_ms, FLUSH_INTERVAL_MS));
	else
		exporter.not_before = exporter.retry_at;
}

/* Sets a row aside that could not be encoded; one that cannot be moved either stays where it is. */
static void
settle_damaged(const Batch *batch)
{
	Settlement	settlement = {0};
	MemoryContext context = CurrentMemoryContext;

	settlement.rows = &batch->damaged;
	settlement.count = 1;
	settlement.filenode = batch->filenode;
	settlement.verdict = VERDICT_FAILED;
	settlement.error = batch->damage;
	ereport(LOG,
			(errmsg("otel_links exporter cannot encode a span: %s", batch->damage)));
	PG_TRY();
	{
		settle(&settlement, &exporter.config);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		EmitErrorReport();
		FlushErrorState();
		lifecycle_abort();
		batch_skip(&batch->damaged);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
}

static void
settle_strays(const Batch *batch)
{
	Settlement	settlement = {0};

	settlement.rows = batch->strays;
	settlement.count = batch->nstrays;
	settlement.filenode = batch->filenode;
	settlement.verdict = VERDICT_FAILED;
	settlement.error = "recorded by another server or database, of which this one is a copy";
	settle(&settlement, &exporter.config);
}

/* The limit on the size of requests is not told, so that it is felt for. */
static void
adapt_max_bytes(const Delivery *delivery)
{
	if (delivery->too_large > 0)
	{
		exporter.max_bytes = Max(delivery->too_large / 2, 1024);
		exporter.small_enough = 0;
	}
	else if (!delivery->back_off && exporter.max_bytes < BATCH_MAX_BYTES &&
			 ++exporter.small_enough == GROW_AFTER)
	{
		exporter.max_bytes = Min(exporter.max_bytes * 2, BATCH_MAX_BYTES);
		exporter.small_enough = 0;
	}
}

/* Sends what was read; false when there is to be a pause. */
static bool
send_batch(const Batch *batch)
{
	Delivery	delivery;

	deliver(batch, &exporter.config, tick, &delivery);
	adapt_max_bytes(&delivery);
	if (!delivery.keep_position)
		exporter.next = batch->next;
	if (delivery.back_off)
	{
		schedule_retry(!delivery.set_aside, delivery.retry_after_ms);
		return false;
	}
	exporter.failures = 0;
	exporter.trouble[0] = '\0';
	return true;
}

/* Reads the next batch; at the end of a pass from the queue's start, says when the next one may begin. */
static void
read_batch(Batch *batch)
{
	TimestampTz start = GetCurrentTimestamp();
	TimestampTz now;

	batch_read(batch, &exporter.config, &exporter.next, exporter.max_bytes);
	if (!batch->reached_end || !exporter.whole_pass)
		return;
	now = GetCurrentTimestamp();
	exporter.next_whole_pass = now + (now - start) * PASS_PAUSE_FACTOR;
	exporter.whole_pass = false;
}

/* Reads and sends one batch; true when there may be more to do at once. */
static bool
export_batch(void)
{
	Batch		batch;
	bool		sent = true;

	MemoryContextReset(exporter.batch_context);
	MemoryContextSwitchTo(exporter.batch_context);
	read_batch(&batch);
	if (batch.count + batch.nstrays > 0 || batch.damage)
		exporter.idle_since = GetCurrentTimestamp();
	if (batch.damage)
	{
		settle_damaged(&batch);
		return true;
	}
	if (batch.nstrays > 0)
		settle_strays(&batch);
	if (batch.count > 0)
		sent = send_batch(&batch);
	else
		exporter.next = batch.next;
	return sent && !batch.reached_end;
}

static void
housekeeping(void)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		at_start = exporter.next_housekeeping == 0;

	if (now < exporter.next_housekeeping)
		return;
	exporter.next_housekeeping = TimestampTzPlusMilliseconds(now, HOUSEKEEPING_INTERVAL_MS);
	MemoryContextSwitchTo(exporter.batch_context);
	bound_enforce(&exporter.config, tick);
	if (!at_start)				/* what waits to be exported goes first */
		(void) expire_some(&exporter.config);
}

/* Waits for the next attempt.  Who waits in force_flush() has it made as soon as one may be. */
static void
wait_for_retry(void)
{
	TimestampTz now = GetCurrentTimestamp();

	while (now < exporter.retry_at)
	{
		TimestampTz next = now < exporter.not_before ? exporter.not_before : exporter.retry_at;
		long		left = TimestampDifferenceMilliseconds(now, next);

		(void) wait_ms(Min(left, HOUSEKEEPING_INTERVAL_MS));
		housekeeping();
		now = GetCurrentTimestamp();
		if (now >= exporter.not_before && lifecycle_flush_wanted())
			break;
	}
	exporter.retry_at = 0;
}

/* Waits for the next look at the queue, or leaves.  There is time for kept spans before. */
static void
rest(void)
{
	bool		busy = expire_some(&exporter.config);
	TimestampTz now = GetCurrentTimestamp();

	if (busy)
		exporter.idle_since = now;
	if (TimestampDifferenceExceeds(exporter.idle_since, now, exporter.config.idle_timeout_ms))
	{
		if (!exporter.config.enabled)
			lifecycle_leave();
		lifecycle_leave_if_empty();
		exporter.idle_since = now;
	}
	if ((wait_ms(busy ? 0 : Max(exporter.config.schedule_delay_ms, 1)) && lifecycle_flush_wanted()) ||
		GetCurrentTimestamp() >= exporter.next_whole_pass)
		begin_whole_pass();
	if (!exporter.config.enabled)	/* else reading a batch does it */
	{
		lifecycle_begin();
		lifecycle_follow_settings();
		lifecycle_commit();
	}
}

/* What may fail of the start, so that it is done again after an error. */
static void
prepare(void)
{
	int			flags;

	memcpy(&flags, MyBgworkerEntry->bgw_extra, sizeof(flags));
	lifecycle_begin();
	utf8_init();
	lifecycle_commit();
	settle_started();
	if (flags & EXPORTER_RESUME)
		lifecycle_leave_if_empty();
	exporter.idle_since = GetCurrentTimestamp();
	begin_whole_pass();
	exporter.prepared = true;
}

static void
export_or_rest(void)
{
	attend();
	if (!exporter.prepared && exporter.retry_at == 0)
		prepare();
	housekeeping();
	if (exporter.retry_at != 0)
	{
		wait_for_retry();
		return;
	}
	if (exporter.trouble[0] && !exporter.trouble_noted)
	{
		settle_error(exporter.trouble, &exporter.config);
		exporter.trouble_noted = true;
	}
	if (!exporter.config.enabled || (!export_batch() && exporter.retry_at == 0))
		rest();
}

/* After an error: reports it, unless it is that of the last time, and waits before it is all done again. */
static void
recover(void)
{
	ErrorData  *error;

	MemoryContextSwitchTo(exporter.batch_context);
	transport_cancel();
	error = CopyErrorData();
	if (strncmp(exporter.trouble, error->message, sizeof(exporter.trouble) - 1) != 0)
		EmitErrorReport();
	FlushErrorState();
	lifecycle_abort();

	strlcpy(exporter.trouble, error->message, sizeof(exporter.trouble));
	FreeErrorData(error);
	exporter.trouble_noted = false;
	begin_whole_pass();
	schedule_retry(true, -1);

	/* Should it be housekeeping that fails, spans are exported all the same. */
	exporter.next_housekeeping = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), HOUSEKEEPING_PAUSE_MS);
}

void
otel_exporter_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	lifecycle_start(DatumGetObjectId(arg));

	exporter.config_context = AllocSetContextCreate(TopMemoryContext, "otel exporter settings",
													ALLOCSET_SMALL_SIZES);
	exporter.batch_context = AllocSetContextCreate(TopMemoryContext, "otel exporter batch",
												   ALLOCSET_DEFAULT_SIZES);
	read_config();
	for (;;)
	{
		PG_TRY();
		{
			for (;;)
				export_or_rest();
		}
		PG_CATCH();
		{
			recover();
		}
		PG_END_TRY();
	}
}
