/*
 * worker.c: the background worker that exports one database's spans.
 *
 * The loop: read batches in short transactions, send them (deliver.c) with no transaction open,
 * settle each answer in another one.  When nothing is left, wait; when the collector does not
 * accept spans, wait longer each time.  lifecycle.c and queue/exporter_guard.h say how the worker
 * starts and ends.
 *
 * An error, such as that of a full disk or a damaged page, does not end the worker: that would free
 * the guard, and every commit would register another worker that fails alike.  It waits as after a
 * failure of the collector and goes on, but sends nothing before it has noted the error in
 * otel.exporter_state.  If not even that can be written, spans that are sent could not be settled,
 * and would be sent again and again.
 *
 * Transactions do not commit in the order in which they wrote, and vacuum frees space anywhere in
 * the queue.  So rows appear before the place that reading has reached, and after the end of the
 * queue there is another pass from its start, unless such passes take more than a twentieth of the
 * time, as they do while an old snapshot keeps many deleted rows.  Only the read that reaches the
 * end counts: those before it were full of rows to send, and sending and waiting cost the server
 * nothing.  No pass begins while a batch is under way, because its rows are still in the queue.
 *
 * All deadlines use the monotonic clock, because the wall clock may be set back.
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

/* The least time that an exporter keeps its worker slot while another database waits for one. */
#define TURN_MS 1000

/* After a request was too large, this many must be accepted before larger ones are tried again. */
#define GROW_AFTER 64

/* How often housekeeping() is due, and the pause after an error, which may have been its own. */
#define HOUSEKEEPING_INTERVAL_MS 1000
#define HOUSEKEEPING_PAUSE_MS 60000

/* Made once the server's environment was complained about. */
#define ENVIRONMENT_NOTE "environment"

/* All times are monotonic_ms(). */
typedef struct Exporter
{
	ExporterConfig config;
	MemoryContext config_context;
	MemoryContext batches_context;	/* parent of the batches' contexts */
	MemoryContext step_context; /* for what a step of the loop allocates; reset for each */

	/* how far reading has come */
	ItemPointerData next;
	bool		at_end;			/* this pass has come to the queue's end */
	bool		whole_pass;		/* did this pass begin at the queue's start? */
	Pacing		whole_passes;
	bool		woken;			/* the latch was set while requests were under way */

	/* after a request was too large for the server or the link, requests are smaller for a while */
	size_t		max_bytes;
	int			small_enough;	/* requests that were accepted since */

	/* our own last error since spans were accepted; empty when there was none */
	char		trouble[256];
	bool		trouble_noted;

	/* the last problem of the configuration that was reported */
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

/* Has reading go on from the queue's start. */
static void
begin_whole_pass(void)
{
	ItemPointerSet(&exporter.next, 0, FirstOffsetNumber);
	exporter.whole_pass = true;
	exporter.at_end = false;
}

/* What has to be done now and then, even while requests are under way. */
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

/* What has to be done between batches and at rest. */
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
 * worker sets the latch: a session that wants a flush, a writer with a full batch, and a reload.
 * At rest, the wait also ends (false) when many writers together have filled a batch, or when
 * another database wants the slot.
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
 * Reports a problem of the configuration in the log and in otel.export_status, unless it is the one
 * that was reported last.  Spans are sent all the same.
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

/* The same, until the server is restarted.  Without a complaint no note is left behind. */
static void
report_once_a_run(const char *complaint)
{
	(void) run_note_make(ENVIRONMENT_NOTE, MyDatabaseId);
	report_complaint(complaint);
}

/* Sets aside a row that could not be encoded.  If it cannot be moved either, it is passed over. */
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
 * Reads the next batch.  At the end of a pass from the queue's start, decides when the next such
 * pass may begin.
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

/* Reads a batch and starts sending it; false when no further one may be read for now. */
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

/* Draws conclusions from what came of the batches that were under way. */
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

/* Reads and sends what there is; false when there is nothing left, or a pause is due. */
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
	if (!at_start)				/* at first, spans that wait are more urgent */
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

/* Looks after otel.retention, then waits for the next look at the queue, or leaves. */
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
	if (!exporter.config.enabled)	/* otherwise batch_read() does this */
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
	if (!run_note_exists(ENVIRONMENT_NOTE, MyDatabaseId))
		settings_report_environment(report_once_a_run);
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

/* After an error: reports it, unless it is the same as the last one, and schedules a retry. */
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
	/* Since PostgreSQL 18, an abort returns to where the transaction began: perhaps a batch's. */
	MemoryContextSwitchTo(exporter.step_context);
	MemoryContextReset(exporter.batches_context);

	strlcpy(exporter.trouble, error->message, sizeof(exporter.trouble));
	FreeErrorData(error);
	exporter.trouble_noted = false;
	begin_whole_pass();
	retry_schedule(true, -1);

	/* If it is housekeeping that fails, spans are exported all the same. */
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
