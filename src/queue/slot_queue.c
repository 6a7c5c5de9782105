/*
 * slot_queue.c: databases whose exporter waits for a free background worker slot.
 *
 * Each is an empty file in the folder for temporary statistics, named after the database's oid:
 * all processes of the server see it, there is no shared memory but for preloaded libraries, and
 * backups leave that folder out.  Its time of modification is when the database began to wait.  A
 * file that is older than the server is left over; its database is served all the same, and its
 * exporter leaves at once when nothing waits.  Where the folder cannot be written, the next span of
 * the database tries again, as it does anyway.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xact.h"
#include "catalog/pg_database.h"
#include "common/file_perm.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/fd.h"
#include "storage/proc.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "monotonic.h"
#include "queue/exporter_guard.h"
#include "queue/slot_queue.h"

/* An exporter that has been there for so long is none that leaves at once. */
#define SETTLED_MS 1000

#define FOLDER "pg_stat_tmp"
#define PREFIX "otel_links_waiting."

typedef struct Waiting
{
	Oid			database;
	struct timespec since;
} Waiting;

static void
path_of(char *path, Oid database)
{
	snprintf(path, MAXPGPATH, FOLDER "/" PREFIX "%u", database);
}

/* When the database began to wait; false when it does not. */
static bool
waits_since(Oid database, struct timespec *since)
{
	char		path[MAXPGPATH];
	struct stat status;

	path_of(path, database);
	if (stat(path, &status) != 0)
		return false;
	*since = status.st_mtim;
	return true;
}

static bool
is_earlier(const Waiting *a, const Waiting *b)
{
	if (a->since.tv_sec != b->since.tv_sec)
		return a->since.tv_sec < b->since.tv_sec;
	if (a->since.tv_nsec != b->since.tv_nsec)
		return a->since.tv_nsec < b->since.tv_nsec;
	return a->database < b->database;
}

/* The database that has waited longest; false when none does. */
static bool
find_first(Waiting *first)
{
	DIR		   *folder = AllocateDir(FOLDER);
	struct dirent *entry;

	first->database = InvalidOid;
	while (folder && (entry = ReadDirExtended(folder, FOLDER, DEBUG1)) != NULL)
	{
		Waiting		waiting;

		if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0)
			continue;
		waiting.database = (Oid) strtoul(entry->d_name + strlen(PREFIX), NULL, 10);
		if (!waits_since(waiting.database, &waiting.since))
			continue;
		if (!OidIsValid(first->database) || is_earlier(&waiting, first))
			*first = waiting;
	}
	if (folder)
		FreeDir(folder);
	return OidIsValid(first->database);
}

static void
take_out(Oid database)
{
	char		path[MAXPGPATH];

	path_of(path, database);
	(void) unlink(path);
}

bool
slot_queue_join(Oid database)
{
	char		path[MAXPGPATH];
	struct timespec since;
	int			fd;

	if (waits_since(database, &since))
	{
		if (since.tv_sec >= timestamptz_to_time_t(PgStartTime))
			return false;
		take_out(database);
	}
	path_of(path, database);
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY, pg_file_create_mode);
	if (fd < 0)
		return errno != EEXIST;
	(void) close(fd);
	return true;
}

bool
slot_queue_joined(void)
{
	struct timespec since;

	return waits_since(MyDatabaseId, &since) &&
		since.tv_sec >= timestamptz_to_time_t(PgStartTime);
}

void
slot_queue_leave(void)
{
	take_out(MyDatabaseId);
}

/* monotonic_ms() when this process last started an exporter for another database; 0: never. */
static int64 last_started;

bool
slot_queue_serve(void)
{
	Waiting		first;

	while (find_first(&first) && first.database != MyDatabaseId)
	{
		BackgroundWorker worker;

		if (SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(first.database)))
		{
			exporter_describe(&worker, first.database, EXPORTER_RESUME);
			if (!RegisterDynamicBackgroundWorker(&worker, NULL))
				return true;
			last_started = monotonic_ms();
		}
		take_out(first.database);
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
	Waiting		first;
	bool		wanted;

	if (!find_first(&first) || first.database == MyDatabaseId)
		return SLOTS_SUFFICE;
	StartTransactionCommand();
	wanted = slot_queue_serve();
	CommitTransactionCommand();
	return !wanted ? SLOTS_SUFFICE : may_make_room() ? SLOT_IS_WANTED : SLOT_IS_KEPT;
}
