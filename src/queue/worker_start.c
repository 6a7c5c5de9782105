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

/* A session logs at most once in this time that it found no free worker slot. */
#define COMPLAINT_INTERVAL_MS (60 * 1000)

/* How long it waits, before that, for an exporter that another session started. */
#define START_TRIES 50
#define START_RETRY_US 1000

/* The worker that this session registered last. */
static BackgroundWorkerHandle *registered;

/*
 * The exporter that this session woke last.  It may be gone: setting a latch in vain is harmless.
 */
static PGPROC *exporter_proc;
static int	exporter_pid;

/* Is the exporter that was seen last still there?  Reads shared memory without a lock. */
static bool
exporter_known(void)
{
	return exporter_proc != NULL && exporter_proc->pid == exporter_pid &&
		exporter_proc->databaseId == MyDatabaseId;
}

/*
 * Finds the exporter of this database among the server's processes, of which there are few.  The
 * lock table also knows who holds the guard, but may have a hundred thousand entries: searching it
 * took 29 ms at the first span of a session.
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

/* Is there no exporter?  Probes the guard with a ShareLock. */
static bool
guard_is_free(const LOCKTAG *guard)
{
	if (LockAcquire(guard, ShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	LockRelease(guard, ShareLock, false);
	return true;
}

/*
 * Puts the database into the queue for slots.  Once for all its sessions until its exporter starts,
 * counts (where that is allowed) and logs that no worker could be registered; the status view reads
 * the count.  False when all is well: another session's exporter may have taken the last slot.
 */
static bool
complain_no_slot(const LOCKTAG *guard)
{
	static int64 next_complaint;

	if (slot_queue_joined())
		return true;
	if (monotonic_ms() < next_complaint)
	{
		/* The exporter ran since then and made room again, or no note can be written. */
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
	 * A worker that is registered but not forked yet will see our rows.  One that is forked and
	 * does not hold the guard may be starting or leaving: only another one is sure to see them.  A
	 * superfluous one leaves as soon as it finds the guard taken.
	 */
	if (registered)
		status = GetBackgroundWorkerPid(registered, &pid);
	if (status == BGWH_NOT_YET_STARTED || !start_claim_take())
		return true;

	/* A worker may have taken the guard and dropped its claim since we looked. */
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
		/* A worker that seems gone may have failed; it keeps its slot until it is restarted. */
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
