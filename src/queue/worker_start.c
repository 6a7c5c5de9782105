/*
 * worker_start.c: starting and waking the exporter of this database (exporter_guard.h says how
 * the two sides meet).
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/memutils.h"

#include "monotonic.h"
#include "queue/counter.h"
#include "queue/exporter_guard.h"
#include "queue/slot_queue.h"
#include "queue/start_claim.h"
#include "queue/worker_start.h"
#include "settings.h"

/* How often, at most, one session says that it found no free worker slot. */
#define COMPLAINT_INTERVAL_MS (60 * 1000)

/* How long it gives another session's exporter to start before that. */
#define START_TRIES 50
#define START_RETRY_US 1000

/* The worker this session registered last, until it has started. */
static BackgroundWorkerHandle *registered;

/* The exporter this session woke last; out of date, perhaps: a latch set in vain does no harm. */
static PGPROC *exporter_proc;
static int	exporter_pid;

/* Was the exporter last seen still there?  Reads shared memory without a lock. */
static bool
exporter_known(void)
{
	return exporter_proc != NULL && exporter_proc->pid == exporter_pid &&
		exporter_proc->databaseId == MyDatabaseId;
}

/*
 * Finds the exporter of this database among the server's processes, whose number max_connections
 * bounds.  The lock table, which knows who holds the guard, may have a hundred thousand entries,
 * and walking it took the first span of a session 29 ms.
 */
static bool
find_exporter(void)
{
	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		PGPROC	   *proc = &ProcGlobal->allProcs[i];
		int			pid = proc->pid;
		const char *type;

		if (pid == 0 || proc->databaseId != MyDatabaseId)
			continue;
		type = GetBackgroundWorkerTypeByPid(pid);
		if (type == NULL || strcmp(type, EXPORTER_NAME) != 0)
			continue;
		exporter_proc = proc;
		exporter_pid = pid;
		return true;
	}
	return false;
}

/* Is there no exporter?  Takes the guard as writers do, for a moment. */
static bool
guard_is_free(const LOCKTAG *guard)
{
	if (LockAcquire(guard, ShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	LockRelease(guard, ShareLock, false);
	return true;
}

/*
 * Has the database wait for a slot; counts, where that is allowed, and logs that no worker could be
 * registered, once for all sessions of the database until its exporter starts.  The status view
 * reads the count.  False when there was nothing to complain of: the exporter that another session
 * started may have taken the last slot.
 */
static bool
complain_no_slot(const LOCKTAG *guard)
{
	static int64 next_complaint;

	if (slot_queue_joined())
		return true;
	if (monotonic_ms() < next_complaint)
	{
		/* It had its turn since, and made room, or the server cannot write the queue for slots. */
		if (!guard_is_free(guard))
			return false;
		(void) slot_queue_join(MyDatabaseId);
		return true;
	}
	for (int i = 0; i < START_TRIES; i++)
	{
		if (!guard_is_free(guard))
			return false;
		pg_usleep(START_RETRY_US);
	}
	if (!slot_queue_join(MyDatabaseId))
		return true;
	next_complaint = monotonic_ms() + COMPLAINT_INTERVAL_MS;
	if (!XactReadOnly && !IsInParallelMode())
		(void) counter_add("exporter_start_failures", 1);
	ereport(LOG,
			(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
			 errmsg("no background worker slot is free for the otel_links exporter"),
			 errdetail("Recorded spans wait in otel.span_queue."),
			 errhint("Consider raising max_worker_processes.")));
	return true;
}

bool
exporter_start_if_needed(Oid extension_oid)
{
	LOCKTAG		guard;
	BackgroundWorker worker;
	BackgroundWorkerHandle *fresh;
	BgwHandleStatus status = BGWH_STOPPED;
	MemoryContext old;
	bool		starts = true;
	pid_t		pid;

	if (RecoveryInProgress() || otel_traces_exporter == TRACES_EXPORTER_NONE)
		return false;

	exporter_guard_tag(&guard, extension_oid);
	if (!guard_is_free(&guard))
		return true;

	/*
	 * One that has been registered and not forked yet will see our rows.  One that has been
	 * forked and does not hold the guard may be on its way in or out: only another one is sure to
	 * see them, and one too many leaves as soon as it finds the guard taken.
	 */
	if (registered)
		status = GetBackgroundWorkerPid(registered, &pid);
	if (status == BGWH_NOT_YET_STARTED || !start_claim_take())
		return true;

	/* While we were on our way to the claim, a worker may have taken the guard and dropped it. */
	if (!guard_is_free(&guard))
	{
		start_claim_drop();
		return true;
	}

	exporter_describe(&worker, MyDatabaseId, 0);
	old = MemoryContextSwitchTo(TopMemoryContext);	/* the handle outlives the transaction */
	if (slot_queue_serve() || !RegisterDynamicBackgroundWorker(&worker, &fresh))
	{
		start_claim_drop();
		starts = !complain_no_slot(&guard);
	}
	else
	{
		/* What looks gone may have failed, and keep a slot until it is started again. */
		if (registered && status == BGWH_STOPPED)
			TerminateBackgroundWorker(registered);
		if (registered)
			pfree(registered);
		registered = fresh;
	}
	MemoryContextSwitchTo(old);
	return starts;
}

void
exporter_wake(void)
{
	if (exporter_known() || find_exporter())
		SetLatch(&exporter_proc->procLatch);
}

void
exporter_register_launcher(void)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 5;
	strlcpy(worker.bgw_library_name, "otel_links", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "otel_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "otel_links launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "otel_links launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}
