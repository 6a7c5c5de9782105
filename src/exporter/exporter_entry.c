/*
 * exporter_entry.c: where the exporter's process begins.
 *
 * What needs libcurl is in otel_links_exporter.so, and either may be missing where this library is not: left
 * out of an image, or of another version.  A worker registered with that library would fail before any code
 * of ours runs, again and again, and every commit would add another to the worker slots (exporter_guard.h).
 * So it begins here and loads the other.  Where it cannot, it keeps the guard, says why in the log and in
 * otel.export_status, and tries again now and then.
 */
#include "postgres.h"

#include <unistd.h>

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "queue/queue_tables.h"
#include "queue/exporter_guard.h"
#include "queue/quiet_heap.h"

/* How often it tries again to load the library. */
#define LOAD_INTERVAL_MS 5000

/* How often it looks whether somebody waits for its database to be free. */
#define YIELD_INTERVAL_MS 500

extern PGDLLEXPORT void otel_exporter_entry(Datum arg);

static LOCKTAG guard;
static bool guard_held;

/* The exporter's main function; NULL, with the reason in *error, when its library cannot be loaded. */
static bgworker_main_type
load_exporter(char **error)
{
	MemoryContext context = CurrentMemoryContext;
	bgworker_main_type volatile main_function = NULL;

	PG_TRY();
	{
		main_function = (bgworker_main_type) load_external_function(EXPORTER_LIBRARY, EXPORTER_FUNCTION,
																	true, NULL);
	}
	PG_CATCH();
	{
		ErrorData  *data;

		MemoryContextSwitchTo(context);
		data = CopyErrorData();
		FlushErrorState();
		*error = pstrdup(data->message);
		FreeErrorData(data);
	}
	PG_END_TRY();
	return main_function;
}

/* Not to be started again: the next span starts another. */
static void
end_for_good(int code, Datum arg)
{
	if (code != 0)
		_exit(0);
}

static void
release_guard(int code, Datum arg)
{
	if (guard_held)
		LockRelease(&guard, ExclusiveLock, true);
	guard_held = false;
}

/* Puts the error into otel.exporter_state, as settle.c of the exporter would. */
static void
note_error(const char *error)
{
	Relation	state = export_table_open("exporter_state", RowExclusiveLock);
	TableScanDesc scan = table_scan_all(state, GetActiveSnapshot());
	HeapTuple	tuple = heap_getnext(scan, ForwardScanDirection);
	int			columns = RelationGetDescr(state)->natts;
	Datum	   *values = palloc0(columns * sizeof(Datum));
	bool	   *nulls = palloc0(columns * sizeof(bool));

	nulls[STATE_LAST_SUCCESS] = true;
	if (tuple)
		heap_deform_tuple(tuple, RelationGetDescr(state), values, nulls);
	values[STATE_LAST_ERROR] = CStringGetTextDatum(error);
	values[STATE_LAST_ERROR_AT] = TimestampTzGetDatum(GetCurrentTimestamp());
	nulls[STATE_LAST_ERROR] = nulls[STATE_LAST_ERROR_AT] = false;
	quiet_insert(state, values, nulls, STATE_COLUMNS);
	if (tuple)
		quiet_delete(state, &tuple->t_self);
	table_endscan(scan);
	table_close(state, NoLock);
}

/* Connects and takes the guard; does not return when another worker has it. */
static Oid
take_guard(Oid database, const char *error)
{
	Oid			extension;

	on_proc_exit(end_for_good, (Datum) 0);
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	before_shmem_exit(release_guard, (Datum) 0);
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	extension = get_extension_oid("otel_links", true);
	if (OidIsValid(extension))
	{
		exporter_guard_tag(&guard, extension);
		guard_held = LockAcquire(&guard, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
	}
	if (guard_held)
		note_error(error);
	PopActiveSnapshot();
	CommitTransactionCommand();
	if (!guard_held)
		proc_exit(0);
	return extension;
}

/* Leaves when somebody waits for the database, or the extension is gone. */
static void
leave_if_unwanted(Oid extension)
{
	bool		unwanted;

	StartTransactionCommand();
	unwanted = exporter_database_wanted() || get_extension_oid("otel_links", true) != extension;
	CommitTransactionCommand();
	if (unwanted)
		proc_exit(0);
}

/* Stands in for the exporter until it can be loaded, then has it started. */
static void
stand_in(Oid database, char *error)
{
	Oid			extension = take_guard(database, error);
	TimestampTz load_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LOAD_INTERVAL_MS);
	BackgroundWorker worker;

	ereport(WARNING,
			(errmsg("otel_links exporter cannot be loaded: %s", error),
			 errdetail("Recorded spans wait in otel.span_queue.  This is logged once, until it can be loaded."),
			 errhint("Install %s and what it needs, such as libcurl.", EXPORTER_LIBRARY)));
	for (;;)
	{
		pfree(error);
		while (GetCurrentTimestamp() < load_at)
		{
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, YIELD_INTERVAL_MS,
							 PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
			leave_if_unwanted(extension);
		}
		load_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LOAD_INTERVAL_MS);
		if (load_exporter(&error) != NULL)
			break;
	}
	release_guard(0, (Datum) 0);
	exporter_describe(&worker, database, 0);
	(void) RegisterDynamicBackgroundWorker(&worker, NULL);
	proc_exit(0);
}

void
otel_exporter_entry(Datum arg)
{
	char	   *error;
	bgworker_main_type main_function = load_exporter(&error);

	if (main_function)
		main_function(arg);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	stand_in(DatumGetObjectId(arg), error);
}
