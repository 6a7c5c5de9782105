/*
 * launcher.c: with shared_preload_libraries = 'otel_links', resumes exports after a start or a
 * promotion.
 *
 * It starts an exporter in each database, one after the other; those where the extension is not
 * installed, or nothing waits, leave at once.  Then it leaves for good.
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
#include "queue/exporter_guard.h"

/* How long to wait for a free worker slot before trying again. */
#define SLOT_RETRY_MS 1000

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

static void
start_exporter(Oid database)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;
	pid_t		pid;

	exporter_describe(&worker, database, EXPORTER_RESUME);
	worker.bgw_notify_pid = MyProcPid;
	while (!RegisterDynamicBackgroundWorker(&worker, &handle))
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 SLOT_RETRY_MS, wait_event_launcher());
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	(void) WaitForBackgroundWorkerStartup(handle, &pid);
}

void
otel_launcher_main(Datum arg)
{
	ListCell   *cell;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	CurrentMemoryContext = AllocSetContextCreate(TopMemoryContext, "otel_links launcher",
												 ALLOCSET_DEFAULT_SIZES);
	foreach(cell, connectable_databases())
		start_exporter(lfirst_oid(cell));
	proc_exit(0);
}
