/*
 * exporter_guard.h: what backends and the exporter agree on: the locks they meet at and the worker that
 * is registered.  The two libraries share no symbol, so all of it is inline.
 *
 * The guard is ExclusiveLock on (database, pg_extension, the extension, 1).  The exporter holds it for
 * its session; there is one exporter a database because there is one guard.  A writer probes it with
 * ShareLock without waiting, after its rows are in: the exporter gives the guard up only under a SHARE
 * lock on the queue, that is while no writer is in progress, and leaves if a snapshot taken under that lock
 * shows the queue empty.  So either the exporter sees the rows or the writer sees no exporter.
 *
 * Without the guard a worker is known to nobody, not even when it failed and the postmaster will start it
 * again: every commit then registers another.  What may fail is therefore done with the guard held.
 *
 * The flush lock, number 2, is held in ShareLock by everyone who waits in otel.force_flush(); the
 * exporter looks whether it is held to tell that wish from other reasons to wake.
 */
#ifndef OTEL_LINKS_EXPORTER_GUARD_H
#define OTEL_LINKS_EXPORTER_GUARD_H

#include "postgres.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/lock.h"

#define EXPORTER_NAME "otel_links exporter"
#define EXPORTER_LIBRARY "otel_links_exporter"
#define EXPORTER_FUNCTION "otel_exporter_main"

/* The exporter may be left idle from its start: nobody wrote, somebody only looks whether rows wait. */
#define EXPORTER_RESUME 1

static inline void
exporter_guard_tag(LOCKTAG *tag, Oid extension)
{
	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, ExtensionRelationId, extension, 1);
}

static inline void
exporter_flush_tag(LOCKTAG *tag, Oid extension)
{
	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, ExtensionRelationId, extension, 2);
}

/*
 * Does anybody wait for the database to be free, to drop, copy or rename it?  Tries the lock that a new
 * connection takes (InitPostgres): they hold one that conflicts, and then wait up to five seconds for
 * sessions to end.  In a transaction.
 */
static inline bool
exporter_database_wanted(void)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
	return LockAcquire(&tag, RowExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL;
}

/*
 * Fills in the worker that exports a database.  flags: 0 or EXPORTER_RESUME.  It begins in otel_links.so
 * (exporter_entry.c), which is there wherever this is called.
 *
 * Not BGWORKER_INTERRUPTIBLE, which PostgreSQL 19 has: who drops or copies the database would then end the
 * worker for good, and after a copy what waits in the original would wait for its next span.  It makes way
 * by itself (lifecycle.c), and comes back.
 */
static inline void
exporter_describe(BackgroundWorker *worker, Oid database, int flags)
{
	memset(worker, 0, sizeof(*worker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = 5;	/* after a crash; it leaves with exit code 0 */
	strlcpy(worker->bgw_library_name, "otel_links", BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, "otel_exporter_entry", BGW_MAXLEN);
	strlcpy(worker->bgw_name, EXPORTER_NAME, BGW_MAXLEN);
	strlcpy(worker->bgw_type, EXPORTER_NAME, BGW_MAXLEN);
	worker->bgw_main_arg = ObjectIdGetDatum(database);
	memcpy(worker->bgw_extra, &flags, sizeof(flags));
}

#endif
