/*
 * slot_queue.c: databases whose exporter waits for a free background worker slot.
 *
 * Each has a note (run_note.h).  One that is left over from an earlier run of the server has its
 * database served all the same, and that exporter leaves at once when nothing waits.  Where no note
 * can be made, the next span of the database tries again, as it does anyway.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/proc.h"
#include "utils/syscache.h"

#include "monotonic.h"
#include "queue/exporter_guard.h"
#include "queue/run_note.h"
#include "queue/slot_queue.h"

#define NOTE "waiting"

/* An exporter that has been there for so long is none that leaves at once. */
#define SETTLED_MS 1000

bool
slot_queue_join(Oid database)
{
	return run_note_make(NOTE, database);
}

bool
slot_queue_joined(void)
{
	return run_note_exists(NOTE, MyDatabaseId);
}

void
slot_queue_leave(void)
{
	(void) run_note_remove(NOTE, MyDatabaseId);
}

/* The other database that waits, and has for longer than this one; InvalidOid: none. */
static Oid
first_in_queue(void)
{
	Oid			database = run_note_oldest(NOTE);

	return database == MyDatabaseId ? InvalidOid : database;
}

/* monotonic_ms() when this process last started an exporter for another database; 0: never. */
static int64 last_started;

bool
slot_queue_serve(void)
{
	Oid			database;

	while (OidIsValid(database = first_in_queue()))
	{
		BackgroundWorker worker;

		if (SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(database)))
		{
			exporter_describe(&worker, database, EXPORTER_RESUME);
			if (!RegisterDynamicBackgroundWorker(&worker, NULL))
				return true;
			last_started = monotonic_ms();
		}
		if (!run_note_remove(NOTE, database))
			break;				/* the next look finds it again */
	}
	return false;
}

/* An exporter further back among the server's processes, or 0; are there others at all? */
static int
exporter_behind(bool *alone)
{
	*alone = true;
	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		PGPROC	   *proc = &ProcGlobal->allProcs[i];
		int			pid = proc->pid;
		const char *type = pid == 0 || proc == MyProc ? NULL : GetBackgroundWorkerTypeByPid(pid);

		if (type == NULL || strcmp(type, EXPORTER_NAME) != 0)
			continue;
		if (proc > MyProc)
			return pid;
		*alone = false;
	}
	return 0;
}

/*
 * Where several exporters make room at the same time, nobody is left to start those that wait.  So
 * the one that is last among the server's processes stays: the others make room once they have seen
 * that there is one behind them for a while.  The only one makes room, too, but not as long as what
 * it has just started may leave again.
 */
static bool
may_make_room(void)
{
	static int	behind;
	static int64 behind_since;
	bool		alone;
	int			pid = exporter_behind(&alone);
	int64		now = monotonic_ms();

	if (pid != behind)
		behind_since = now;
	behind = pid;
	if (pid != 0)
		return now - behind_since >= SETTLED_MS;
	return alone && now - last_started >= SETTLED_MS;
}

SlotDemand
slot_queue_attend(void)
{
	bool		wanted;

	if (!OidIsValid(first_in_queue()))
		return SLOTS_SUFFICE;
	StartTransactionCommand();
	wanted = slot_queue_serve();
	CommitTransactionCommand();
	return !wanted ? SLOTS_SUFFICE : may_make_room() ? SLOT_IS_WANTED : SLOT_IS_KEPT;
}
