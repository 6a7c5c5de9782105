/*
 * worker_start.c: starting and waking the exporter of this database (exporter_guard.h says how the two
 * sides meet).
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "queue/exporter_guard.h"
#include "queue/worker_start.h"
#include "settings.h"

/* How often, at most, one session says that it found no free worker slot. */
#define COMPLAINT_INTERVAL_MS (60 * 1000)

/* How long it gives another session's exporter to start before that. */
#define START_TRIES 50
#define START_RETRY_US 1000

/* The worker this session registered last, until it has started. */
static BackgroundWorkerHandle *registered;

/* The exporter this session saw last.  Both may be out of date: a latch set in vain does no harm. */
static PGPROC *exporter_proc;
static int	exporter_pid;

/* Was the exporter last seen still there?  Reads shared memory without a lock. */
static bool
exporter_known(void)
{
	return exporter_proc != NULL && exporter_proc->pid == exporter_pid &&
		exporter_proc->databaseId == MyDatabaseId;
}

/* Finds who holds the guard.  Walks the whole lock table, so its answer is kept. */
static void
find_exporter(const LOCKTAG *guard)
{
	LockData   *locks = GetLockStatusData();

	exporter_proc = NULL;
	for (int i = 0; i < locks->nelements; i++)
	{
		LockInstanceData *lock = &locks->locks[i];

		if (memcmp(&lock->locktag, guard, sizeof(LOCKTAG)) == 0 &&
			(lock->holdMask & LOCKBIT_ON(ExclusiveLock)))
		{
			exporter_pid = lock->pid;
			exporter_proc = BackendPidGetProc(exporter_pid);
			break;
		}
	}
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
 * Counts, where that is allowed, and now and then logs that no worker could be registered.  The status view
 * reads the count.
 * False when there was nothing to complain of: many sessions that commit at once when no exporter runs
 * register as many, and the one that is to stay may be among those that took up the slots.
 */
static bool
complain_no_slot(const LOCKTAG *guard)
{
	static TimestampTz last_complaint;
	TimestampTz now = GetCurrentTimestamp();
	Oid			sequence;

	if (last_complaint != 0 &&
		!TimestampDifferenceExceeds(last_complaint, now, COMPLAINT_INTERVAL_MS))
		return true;
	last_complaint = now;
	for (int i = 0; i < START_TRIES; i++)
	{
		if (!guard_is_free(guard))
			return false;
		pg_usleep(START_RETRY_US);
	}
	sequence = get_relname_relid("exporter_start_failures", get_namespace_oid("otel", false));
	if (OidIsValid(sequence) && !XactReadOnly && !IsInParallelMode())
		nextval_internal(sequence, false);
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
	{
		if (!exporter_known())
			find_exporter(&guard);
		return true;
	}

	/*
	 * One that has been registered and not forked yet will see our rows.  One that has been forked and
	 * does not hold the guard may be on its way in or out: only another one is sure to see them, and one
	 * too many leaves as soon as it finds the guard taken.
	 */
	if (registered)
		status = GetBackgroundWorkerPid(registered, &pid);
	if (status == BGWH_NOT_YET_STARTED)
		return true;

	exporter_describe(&worker, MyDatabaseId, 0);
	old = MemoryContextSwitchTo(TopMemoryContext);	/* the handle outlives the transaction */
	if (!RegisterDynamicBackgroundWorker(&worker, &fresh))
		starts = !complain_no_slot(&guard);
	else
	{
		/* What looks gone may have failed, and keep a slot until it is started again: it is replaced. */
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
	if (exporter_known())
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
