/*
 * exporter_guard.c: the locks that backends and the exporter meet at, and the worker that is
 * registered.
 */
#include "postgres.h"

#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "miscadmin.h"

#include "queue/exporter_guard.h"

void
exporter_guard_tag(LOCKTAG *tag, Oid extension)
{
	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, ExtensionRelationId, extension, 1);
}

void
exporter_flush_tag(LOCKTAG *tag, Oid extension)
{
	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, ExtensionRelationId, extension, 2);
}

/*
 * Tries the lock that a new connection takes (InitPostgres): whoever wants the database free
 * holds one that conflicts, and then waits up to five seconds for sessions to end.
 */
bool
exporter_database_wanted(void)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
	return LockAcquire(&tag, RowExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL;
}

/*
 * Not BGWORKER_INTERRUPTIBLE, which PostgreSQL 19 has: who drops or copies the database would
 * then end the worker for good, and after a copy what waits in the original would wait for its
 * next span.  It makes way by itself (exporter/lifecycle.c), and comes back.
 */
void
exporter_describe(BackgroundWorker *worker, Oid database, int flags)
{
	memset(worker, 0, sizeof(*worker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = 5;	/* after a crash; it leaves with exit code 0 */
	strlcpy(worker->bgw_library_name, "otel_links", BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, "otel_exporter_main", BGW_MAXLEN);
	strlcpy(worker->bgw_name, EXPORTER_NAME, BGW_MAXLEN);
	strlcpy(worker->bgw_type, EXPORTER_NAME, BGW_MAXLEN);
	worker->bgw_main_arg = ObjectIdGetDatum(database);
	memcpy(worker->bgw_extra, &flags, sizeof(flags));
}
