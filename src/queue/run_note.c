/*
 * run_note.c: notes that every process can make and see until the server is restarted.
 *
 * The file's modification time says when the note was made.  A file that is older than the running
 * server is left over from an earlier run.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file_perm.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "utils/timestamp.h"

#include "queue/run_note.h"

#define FOLDER PG_STAT_TMP_DIR
#define PREFIX "otel_links_"

static void
path_of(char *path, const char *what, Oid database)
{
	snprintf(path, MAXPGPATH, FOLDER "/" PREFIX "%s.%u", what, database);
}

/* When the note was made; false when there is none. */
static bool
made_at(const char *what, Oid database, struct timespec *time)
{
	char		path[MAXPGPATH];
	struct stat status;

	path_of(path, what, database);
	if (stat(path, &status) != 0)
		return false;
	*time = status.st_mtim;
	return true;
}

bool
run_note_exists(const char *what, Oid database)
{
	struct timespec time;

	return made_at(what, database, &time) && time.tv_sec >= timestamptz_to_time_t(PgStartTime);
}

bool
run_note_make(const char *what, Oid database)
{
	char		path[MAXPGPATH];
	int			fd;

	if (run_note_exists(what, database))
		return false;
	(void) run_note_remove(what, database);
	path_of(path, what, database);
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY, pg_file_create_mode);
	if (fd < 0)
		return errno != EEXIST;
	(void) close(fd);
	return true;
}

bool
run_note_remove(const char *what, Oid database)
{
	char		path[MAXPGPATH];

	path_of(path, what, database);
	return unlink(path) == 0 || errno == ENOENT;
}

static bool
is_earlier(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

Oid
run_note_oldest(const char *what)
{
	char		prefix[MAXPGPATH];
	DIR		   *folder = AllocateDir(FOLDER);
	struct dirent *entry;
	struct timespec oldest;
	Oid			found = InvalidOid;

	snprintf(prefix, sizeof(prefix), PREFIX "%s.", what);
	while (folder && (entry = ReadDirExtended(folder, FOLDER, DEBUG1)) != NULL)
	{
		Oid			database;
		struct timespec time;

		if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
			continue;
		database = (Oid) strtoul(entry->d_name + strlen(prefix), NULL, 10);
		if (!made_at(what, database, &time) ||
			(OidIsValid(found) && !is_earlier(&time, &oldest)))
			continue;
		found = database;
		oldest = time;
	}
	if (folder)
		FreeDir(folder);
	return found;
}
