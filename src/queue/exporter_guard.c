/*
 * exporter_guard.c: the locks that sessions and the exporter share, and how the exporter is
 * registered as a worker.
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
 * Tries the lock that a new connection takes (InitPostgres).  A session that wants to drop, copy or
 * rename the database holds a conflicting one and waits up to five seconds for others to leave.
 */
bool
exporter_database_wanted(void)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
	return LockAcquire(&tag, RowExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL;
}

/*
 * PostgreSQL 19's BGWORKER_INTERRUPTIBLE is not used: dropping or copying the database would end
 * the worker for good, and after a copy, spans that wait in the original would wait until another
 * is recorded.  The worker makes way by itself (exporter/lifecycle.c) and comes back.
 */
void
exporter_describe(BackgroundWorker *worker, Oid database, int flags)
{
	memset(worker, 0, sizeof(*worker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = 5;	/* after a crash or exit code 1; with 0 it leaves for good */
	strlcpy(worker->bgw_library_name, "otel_links", BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, "otel_exporter_main", BGW_MAXLEN);
	strlcpy(worker->bgw_name, EXPORTER_NAME, BGW_MAXLEN);
	strlcpy(worker->bgw_type, EXPORTER_NAME, BGW_MAXLEN);
	worker->bgw_main_arg = ObjectIdGetDatum(database);
	memcpy(worker->bgw_extra, &flags, sizeof(flags));
}
