/*
 * slot_queue.c: databases whose exporter waits for a free background worker slot.
 *
 * Each has a note (run_note.h).  A note of an earlier run of the server is honoured as well: the
 * exporter that it starts leaves at once when no spans wait.  If no note can be made, nothing is
 * lost, because the next span of the database tries again anyway.
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

/*
 * An exporter that has been there for this long is not one that leaves at once, and the slot of one
 * that has left for this long is free.
 */
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

/* The database that has waited longest; InvalidOid: there is none, or it is this one. */
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
			break;				/* or this loop would find it again and again */
	}
	return false;
}

/*
 * The pid of an exporter that comes after this one among the server's processes, or 0.  *alone says
 * whether this is the only exporter.
 */
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
		*alone = false;
		if (proc > MyProc)
			return pid;
	}
	return 0;
}

/*
 * If all exporters made room at the same time, none would be left to start those that wait.  So the
 * last one among the server's processes stays; the others make room after they have seen one behind
 * them for a while.  A single exporter makes room as well, after a while alone: an exporter that it
 * has just started may not be seen yet, and the postmaster frees the slot of one that has left a
 * little later than that one is gone.
 */
static bool
may_make_room(void)
{
	static int	behind;
	static int64 behind_since;
	static int64 alone_since;
	bool		alone;
	int			pid = exporter_behind(&alone);
	int64		now = monotonic_ms();

	if (pid != behind)
		behind_since = now;
	behind = pid;
	if (!alone || alone_since <= last_started)
		alone_since = now;
	return (alone && now - alone_since >= SETTLED_MS) ||
		(pid != 0 && now - behind_since >= SETTLED_MS);
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
