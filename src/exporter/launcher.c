/*
 * launcher.c: with shared_preload_libraries = 'otel_links', resumes exports after a start or a
 * promotion.
 *
 * It starts an exporter in each database, one after the other, and exits for good.  An exporter
 * exits at once where the extension is not installed or no spans wait.  If no worker slot becomes
 * free for a while, the launcher queues the remaining databases for one and exits all the same:
 * that frees its own slot, and running exporters start the others (queue/slot_queue.h).
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"
#include "tcop/tcopprot.h"

#include "compat.h"
#include "exporter/wait_events.h"
#include "monotonic.h"
#include "queue/exporter_guard.h"
#include "queue/slot_queue.h"

/* How long to wait for a free worker slot, and how often to look. */
#define SLOT_WAIT_MS 3000
#define SLOT_RETRY_MS 200

pg_noreturn extern PGDLLEXPORT void otel_launcher_main(Datum arg);

static List *
connectable_databases(void)
{
	List	   *databases = NIL;
	MemoryContext context = CurrentMemoryContext;
	Relation	catalog;
	TableScanDesc scan;
	HeapTuple	tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	catalog = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(catalog, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext old;

		if (!database->datallowconn)
			continue;
		old = MemoryContextSwitchTo(context);
		databases = lappend_oid(databases, database->oid);
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(catalog, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return databases;
}

/* Starts a database's exporter; false if no slot becomes free in time. */
static bool
start_exporter(Oid database)
{
	const int64 end = monotonic_ms() + SLOT_WAIT_MS;
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;
	pid_t		pid;

	exporter_describe(&worker, database, EXPORTER_RESUME);
	worker.bgw_notify_pid = MyProcPid;
	while (!RegisterDynamicBackgroundWorker(&worker, &handle))
	{
		if (monotonic_ms() >= end)
			return false;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 SLOT_RETRY_MS, wait_event_launcher());
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	(void) WaitForBackgroundWorkerStartup(handle, &pid);
	return true;
}

static void
report_no_slot(int databases)
{
	ereport(LOG,
			(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
			 errmsg_plural("no background worker slot is free to resume the export of %d database",
						   "no background worker slot is free to resume the export of %d databases",
						   databases, databases),
			 errdetail("Exporters of other databases make room when they are idle."),
			 errhint("Consider raising max_worker_processes.")));
}

void
otel_launcher_main(Datum arg)
{
	List	   *databases;
	int			started = 0;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	CurrentMemoryContext = AllocSetContextCreate(TopMemoryContext, "otel_links launcher",
												 ALLOCSET_DEFAULT_SIZES);
	databases = connectable_databases();
	while (started < list_length(databases) && start_exporter(list_nth_oid(databases, started)))
		started++;
	for (int i = started; i < list_length(databases); i++)
		(void) slot_queue_join(list_nth_oid(databases, i));
	if (started < list_length(databases))
		report_no_slot(list_length(databases) - started);
	proc_exit(0);
}
