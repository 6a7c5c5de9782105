/*
 * worker.c: the background worker that exports one database's spans.
 *
 * Its loop: read batches in short transactions, have them sent (deliver.c) with none open, settle
 * each answer in another.  Where nothing is left it waits; where the collector does not take
 * spans it waits longer each time.  It comes and goes as lifecycle.c and queue/exporter_guard.h
 * say.
 *
 * An error, such as a full disk or a damaged page gives, does not end it: that would free the
 * guard, and every commit would register another worker to fail alike.  It waits as after a
 * failure of the collector and goes on, but sends nothing before it has noted the error in
 * otel.exporter_state: where not even that can be written, what is sent could not be settled, and
 * would be sent again and again.
 *
 * Transactions commit in another order than they wrote, and vacuum makes room anywhere in the
 * queue, so that rows appear before the place where reading has come to.  The end of the queue is
 * therefore followed by another pass from its start, unless such passes cost more than a
 * twentieth of the time, as they do while an old snapshot keeps many deleted rows.  What counts
 * is how long the read took that came to the end: those before it were full of rows to send, and
 * sending and waiting cost the server nothing. No pass begins while a batch is under way, whose
 * rows are still in the queue.
 *
 * All deadlines go by the monotonic clock: the wall clock may be set back.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/ps_status.h"

#include "compat.h"
#include "exporter/batch.h"
#include "exporter/bound.h"
#include "exporter/config.h"
#include "exporter/deliver.h"
#include "exporter/expire.h"
#include "exporter/export_log.h"
#include "exporter/lifecycle.h"
#include "exporter/otlp/utf8.h"
#include "exporter/pacing.h"
#include "exporter/retry.h"
#include "exporter/settle.h"
#include "exporter/wait_events.h"
#include "monotonic.h"
#include "queue/exporter_guard.h"
#include "queue/run_note.h"
#include "queue/slot_queue.h"
#include "settings.h"

pg_noreturn extern PGDLLEXPORT void otel_exporter_main(Datum arg);

/* Intervals between checks for sessions that wait to drop or copy the database: idle, and busy. */
#define YIELD_INTERVAL_MS 500
#define YIELD_INTERVAL_MIN_MS 200

/* How long an exporter keeps its worker slot at least while another database waits for one. */
#define TURN_MS 1000

/*
 * After a request that was too large, larger ones are tried again when this many have been taken.
 */
#define GROW_AFTER 64

/*
 * How often kept spans and the queue's size are looked after; how much later when that may have
 * failed.
 */
#define HOUSEKEEPING_INTERVAL_MS 1000
#define HOUSEKEEPING_PAUSE_MS 60000

/* All times are monotonic_ms(). */
typedef struct Exporter
{
	ExporterConfig config;
	MemoryContext config_context;
	MemoryContext batches_context;	/* parent of those of batches; empty when none is under way */
	MemoryContext step_context; /* for what a step of the loop allocates; reset for each */

	/* where reading is */
	ItemPointerData next;
	bool		at_end;			/* this pass has come to the queue's end */
	bool		whole_pass;		/* did this pass begin at the queue's start? */
	Pacing		whole_passes;
	bool		woken;			/* the latch was set while requests were under way */

	/* requests that are too large for a server or the link to it are not made again for a while */
	size_t		max_bytes;
	int			small_enough;	/* requests of that size taken since */

	/* an error of our own, the last since spans were sent; empty when there was none */
	char		trouble[256];
	bool		trouble_noted;

	/* what of the configuration is not followed, as it was reported last */
	char		complaint[512];

	bool		prepared;
	int64		turn_ends;
	int64		idle_since;
	int64		next_housekeeping;
} Exporter;

static Exporter exporter;

/* What pg_stat_activity shows. */
static void
report_activity(BackendState state, const char *activity)
{
	static const char *reported;

	if (reported == activity)
		return;
	reported = activity;
	pgstat_report_activity(state, activity);
}

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
	exporter.at_end = false;
}

/* What has to be done now and then whatever else happens; also while a request is under way. */
static void
tick(void)
{
	static int64 last;
	int64		now = monotonic_ms();
	MemoryContext context = CurrentMemoryContext;

	if (now - last < YIELD_INTERVAL_MIN_MS)
		return;
	last = now;
	lifecycle_yield_database();
	(void) slot_queue_attend();
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
		export_log_forget();
		retry_at_once();
	}
	tick();
}

/* Is it time to make room for the exporter of another database? */
static bool
turn_is_over(void)
{
	return monotonic_ms() >= exporter.turn_ends && slot_queue_attend() == SLOT_IS_WANTED;
}

/* While the exporter is at rest: is there something to do before the delay is over? */
static bool
rest_is_over(void)
{
	return (exporter.config.enabled && batch_is_full(&exporter.config, &exporter.next)) ||
		turn_is_over();
}

/*
 * Waits until the latch is set (true) or the time has passed (false).  Everything that wakes the
 * worker sets the latch: whoever wants a flush, a writer with a full batch, and a reload.  At rest,
 * a batch that many writers have filled ends it as well, and another database that wants the slot.
 */
static bool
wait_ms(int64 ms, uint32 wait_event, bool at_rest)
{
	int64		end = monotonic_ms() + ms;

	for (;;)
	{
		int64		left = Max(end - monotonic_ms(), 0);
		int			events = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
									   Min(left, YIELD_INTERVAL_MS), wait_event);

		if (events & WL_LATCH_SET)
			ResetLatch(MyLatch);
		attend();
		if (events & WL_LATCH_SET)
			return true;
		if (monotonic_ms() >= end)
			return false;
		if (at_rest && rest_is_over())
			return false;
	}
}

/*
 * Reports what of the configuration is not followed, once for each problem: in the log, and where
 * people look first.  It does not keep spans from being sent.
 */
static void
report_complaint(const char *complaint)
{
	if (strncmp(exporter.complaint, complaint, sizeof(exporter.complaint) - 1) == 0)
		return;
	strlcpy(exporter.complaint, complaint, sizeof(exporter.complaint));
	ereport(WARNING,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("otel_links exporter: %s", complaint)));
	settle_error(complaint, &exporter.config);
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

/* The server does not announce its size limit, so probe for it. */
static void
adapt_max_bytes(const Outlook *outlook)
{
	if (outlook->too_large > 0)
	{
		exporter.max_bytes = Max(Min(outlook->too_large / 2, BATCH_MAX_BYTES), 1024);
		exporter.small_enough = 0;
		return;
	}
	if (exporter.max_bytes >= BATCH_MAX_BYTES)
		return;
	exporter.small_enough += outlook->small_enough;
	if (exporter.small_enough >= GROW_AFTER)
	{
		exporter.max_bytes = Min(exporter.max_bytes * 2, BATCH_MAX_BYTES);
		exporter.small_enough = 0;
	}
}

/*
 * Reads the next batch; at the end of a pass from the queue's start, says when the next one may
 * begin.
 */
static void
read_batch(Batch *batch)
{
	int64		start = monotonic_us();

	batch_read(batch, &exporter.config, &exporter.next,
			   Min(exporter.max_bytes, exporter.config.max_request_size), !deliver_is_busy());
	if (batch->stale || batch->damage)
		return;
	exporter.next = batch->next;
	exporter.at_end = batch->reached_end;
	if (!batch->reached_end || !exporter.whole_pass)
		return;
	pacing_rest(&exporter.whole_passes, monotonic_us() - start);
	exporter.whole_pass = false;
}

/* Reads a batch and starts sending it; false when no other may be read for now. */
static bool
start_batch(void)
{
	MemoryContext context = AllocSetContextCreate(exporter.batches_context, "otel batch",
												  ALLOCSET_DEFAULT_SIZES);
	Batch	   *batch;
	bool		more;

	MemoryContextSwitchTo(context);
	batch = palloc(sizeof(Batch));
	read_batch(batch);
	if (batch->count + batch->nstrays > 0 || batch->damage)
		exporter.idle_since = monotonic_ms();
	more = !batch->stale;
	if (batch->damage)
		settle_damaged(batch);
	if (batch->nstrays > 0)
		settle_strays(batch);
	MemoryContextSwitchTo(exporter.step_context);
	if (batch->count == 0)
	{
		MemoryContextDelete(context);
		return more;
	}
	report_activity(STATE_RUNNING, "exporting spans");
	if (batch->envelope.problem)
		report_complaint(batch->envelope.problem);
	deliver_start(batch, context, &exporter.config);
	return more;
}

/* What has come of the batches that were under way. */
static void
conclude(void)
{
	Outlook		outlook = *deliver_outlook();

	deliver_begin();
	adapt_max_bytes(&outlook);
	if (ItemPointerIsValid(&outlook.resume))
	{
		exporter.next = outlook.resume;
		exporter.at_end = false;
	}
	if (outlook.accepted)
	{
		retry_forget_failures();
		exporter.trouble[0] = '\0';
	}
	if (outlook.stop)
		retry_schedule(!outlook.spans_left, outlook.retry_after_ms);
}

/* Reads and sends what there is; false when that is nothing, or there is to be a pause. */
static bool
export_some(void)
{
	while (exporter.config.enabled && !exporter.at_end &&
		   deliver_has_room(&exporter.config) && start_batch())
		MemoryContextReset(exporter.step_context);
	if (deliver_is_busy())
	{
		exporter.woken |= deliver_step(&exporter.config, tick);
		if (deliver_is_busy())
			return true;
	}
	conclude();
	return !exporter.at_end && !retry_is_scheduled();
}

static void
housekeeping(void)
{
	int64		now = monotonic_ms();
	bool		at_start = exporter.next_housekeeping == 0;

	if (now < exporter.next_housekeeping)
		return;
	exporter.next_housekeeping = now + HOUSEKEEPING_INTERVAL_MS;
	bound_enforce(&exporter.config, tick);
	if (!at_start)				/* what waits to be exported goes first */
		(void) expire_some(&exporter.config);
}

/* Waits for the next attempt.  force_flush() triggers it as soon as one is allowed. */
static void
wait_for_retry(void)
{
	report_activity(STATE_IDLE, "waiting to try again");
	while (retry_is_scheduled() && !retry_is_due(lifecycle_flush_wanted))
	{
		(void) wait_ms(Min(retry_wait_ms(), HOUSEKEEPING_INTERVAL_MS), wait_event_retry(), false);
		housekeeping();
	}
	retry_at_once();
}

/* Leaves when there has been nothing to do for long enough, or another database wants the slot. */
static void
leave_if_idle(void)
{
	int64		now = monotonic_ms();
	SlotDemand	demand = slot_queue_attend();

	if (demand == SLOT_IS_WANTED ? now < exporter.turn_ends :
		demand == SLOT_IS_KEPT || now - exporter.idle_since < exporter.config.idle_timeout_ms)
		return;
	if (!exporter.config.enabled)
		lifecycle_leave();
	lifecycle_leave_if_empty();
	exporter.idle_since = now;
}

/* Waits for the next look at the queue, or leaves.  There is time for kept spans before. */
static void
rest(void)
{
	bool		busy = expire_some(&exporter.config);
	bool		woken = exporter.woken;

	if (busy)
		exporter.idle_since = monotonic_ms();
	leave_if_idle();
	report_activity(STATE_IDLE, "waiting for spans");
	exporter.woken = false;
	if (!woken)
		woken = wait_ms(busy ? 0 : Max(exporter.config.schedule_delay_ms, 1), wait_event_idle(),
						true);
	exporter.at_end = false;
	if ((woken && lifecycle_flush_wanted()) || pacing_is_due(&exporter.whole_passes))
		begin_whole_pass();
	if (!exporter.config.enabled)	/* else reading a batch does it */
	{
		lifecycle_begin();
		(void) lifecycle_settings_changed(true);
		lifecycle_commit();
	}
}

/* What ps and pg_stat_activity call this process. */
static void
show_name(void)
{
	char	   *database;

	StartTransactionCommand();
	database = get_database_name(MyDatabaseId);
	if (database)
	{
		pgstat_report_appname(psprintf("%s: %s", EXPORTER_NAME, database));
		set_ps_display(database);
	}
	CommitTransactionCommand();
}

/* Start-up steps that can fail; retried after an error. */
static void
prepare(void)
{
	int			flags;

	memcpy(&flags, MyBgworkerEntry->bgw_extra, sizeof(flags));
	show_name();
	lifecycle_begin();
	utf8_init();
	lifecycle_commit();
	settle_started();
	if (flags & EXPORTER_RESUME)
		lifecycle_leave_if_empty();
	if (run_note_make("environment", MyDatabaseId))
		settings_report_environment(report_complaint);
	exporter.idle_since = monotonic_ms();
	deliver_begin();
	begin_whole_pass();
	exporter.prepared = true;
}

static void
export_or_rest(void)
{
	MemoryContextReset(exporter.step_context);
	MemoryContextSwitchTo(exporter.step_context);
	attend();
	if (!retry_is_scheduled() && exporter.trouble[0] && !exporter.trouble_noted)
	{
		settle_error(exporter.trouble, &exporter.config);
		exporter.trouble_noted = true;
	}
	if (!exporter.prepared && !retry_is_scheduled())
		prepare();
	if (!deliver_is_busy())
		housekeeping();
	if (retry_is_scheduled() && !deliver_is_busy())
	{
		wait_for_retry();
		return;
	}
	if ((!exporter.config.enabled && !deliver_is_busy()) ||
		(!export_some() && !retry_is_scheduled()))
		rest();
}

/*
 * After an error: reports it, unless it is that of the last time, and waits before it is all done
 * again.
 */
static void
recover(void)
{
	ErrorData  *error;

	deliver_cancel();
	MemoryContextSwitchTo(exporter.step_context);
	error = CopyErrorData();
	if (strncmp(exporter.trouble, error->message, sizeof(exporter.trouble) - 1) != 0)
		EmitErrorReport();
	FlushErrorState();
	lifecycle_abort();
	MemoryContextReset(exporter.batches_context);

	strlcpy(exporter.trouble, error->message, sizeof(exporter.trouble));
	FreeErrorData(error);
	exporter.trouble_noted = false;
	begin_whole_pass();
	retry_schedule(true, -1);

	/* Should it be housekeeping that fails, spans are exported all the same. */
	exporter.next_housekeeping = monotonic_ms() + HOUSEKEEPING_PAUSE_MS;
}

void
otel_exporter_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	lifecycle_start(DatumGetObjectId(arg));
	exporter.turn_ends = monotonic_ms() + TURN_MS;

	exporter.config_context = AllocSetContextCreate(TopMemoryContext, "otel exporter settings",
													ALLOCSET_SMALL_SIZES);
	exporter.batches_context = AllocSetContextCreate(TopMemoryContext, "otel exporter batches",
													 ALLOCSET_SMALL_SIZES);
	exporter.step_context = AllocSetContextCreate(TopMemoryContext, "otel exporter step",
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
