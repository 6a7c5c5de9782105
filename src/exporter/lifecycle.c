/*
 * lifecycle.c: how the exporter starts, ends, and opens its transactions.
 *
 * exporter_guard.h says what the guard and the flush lock are for.  Exit code 0 ends the worker
 * for good; after any other code, and after a crash, the postmaster starts it again five seconds
 * later.  A worker whose database is gone must not be started for ever, and workers that fail
 * before they have the guard must not fill the worker slots.  So until the worker has the guard,
 * every failure ends it with code 0; the next span starts another.
 *
 * The guard is an ordinary lock that the session holds.  PostgreSQL releases such a lock when a
 * transaction aborts, but not when a process ends outside a transaction.  This file handles both.
 */
#include "postgres.h"

#include <unistd.h>

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_db_role_setting.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "queue/queue_tables.h"
#include "queue/exporter_guard.h"
#include "queue/slot_queue.h"
#include "queue/start_claim.h"
#include "exporter/lifecycle.h"

/* Writers hold the guard in ShareLock for a moment while they probe it, so it is tried again. */
#define GUARD_ATTEMPTS 50
#define GUARD_RETRY_US 2000

static bool starting;
static bool guard_held;
static Oid	extension;
static Oid	extension_row_xmin;	/* changes with every ALTER EXTENSION */
static uint64 settings_hash;	/* of ALTER DATABASE … SET */

static void
end_for_good_when_starting(int code, Datum arg)
{
	if (starting)
		_exit(0);
}

static LockAcquireResult
try_lock(const LOCKTAG *tag, LOCKMODE mode, bool session)
{
	return LockAcquire(tag, mode, session, true);
}

static bool
take_guard(void)
{
	LOCKTAG		guard;

	exporter_guard_tag(&guard, extension);
	for (int i = 0; i < GUARD_ATTEMPTS; i++)
	{
		guard_held = try_lock(&guard, ExclusiveLock, true) != LOCKACQUIRE_NOT_AVAIL;
		if (guard_held)
			return true;

		/* Writers do not conflict with a ShareLock: another exporter has the guard. */
		if (try_lock(&guard, ShareLock, false) == LOCKACQUIRE_NOT_AVAIL)
			return false;
		LockRelease(&guard, ShareLock, false);
		CHECK_FOR_INTERRUPTS();
		pg_usleep(GUARD_RETRY_US);
	}
	return false;
}

static void
release_guard(void)
{
	LOCKTAG		guard;

	if (!guard_held)
		return;
	guard_held = false;
	exporter_guard_tag(&guard, extension);
	LockRelease(&guard, ExclusiveLock, true);
}

static void
release_guard_at_exit(int code, Datum arg)
{
	release_guard();
}

/* The xmin of the extension's row in pg_extension, or InvalidTransactionId. */
static TransactionId
extension_version(void)
{
	Relation	catalog = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	TransactionId xmin = InvalidTransactionId;

	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(extension));
	scan = systable_beginscan(catalog, ExtensionOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return xmin;
}

/* A hash that changes when ALTER DATABASE … SET or ALTER ROLE … SET concern this session. */
static uint64
hash_settings(void)
{
	Relation	catalog = table_open(DbRoleSettingRelationId, AccessShareLock);
	Oid			databases[] = {MyDatabaseId, InvalidOid};
	uint64		hash = 0;

	for (int i = 0; i < (int) lengthof(databases); i++)
	{
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	tuple;

		ScanKeyInit(&key, Anum_pg_db_role_setting_setdatabase, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(databases[i]));
		scan = systable_beginscan(catalog, DbRoleSettingDatidRolidIndexId, true, NULL, 1, &key);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			Form_pg_db_role_setting row = (Form_pg_db_role_setting) GETSTRUCT(tuple);

			if (!OidIsValid(row->setrole) || row->setrole == GetUserId())
				hash = hash_combine64(hash, HeapTupleHeaderGetRawXmin(tuple->t_data) ^
									  ((uint64) ItemPointerGetOffsetNumber(&tuple->t_self) << 32) ^
									  ((uint64) ItemPointerGetBlockNumber(&tuple->t_self) << 48));
		}
		systable_endscan(scan);
	}
	table_close(catalog, AccessShareLock);
	return hash;
}

/*
 * Whatever ALTER DATABASE … SET or the configuration say, this worker reads and writes its tables
 * as the bootstrap superuser, in read-write transactions, and without time-outs.  A setting that
 * this major version does not have is passed over.
 *
 * As synchronous_commit is off, a crash of the server may lose what the worker wrote last: spans
 * that the collector accepted are then sent again, which may happen anyway.
 */
static void
override_settings(void)
{
	static const char *const settings[][2] = {
		{"session_authorization", NULL},	/* the bootstrap superuser's name */
		{"role", "none"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_deferrable", "off"},
		{"statement_timeout", "0"},
		{"lock_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"idle_session_timeout", "0"},
		{"transaction_timeout", "0"},
		{"row_security", "off"},
		{"synchronous_commit", "off"},
		{"search_path", "pg_catalog, pg_temp"},
	};

	StartTransactionCommand();
	for (int i = 0; i < (int) lengthof(settings); i++)
	{
		const char *name = settings[i][0];
		const char *value = settings[i][1];

		if (value == NULL)
			value = GetUserNameFromId(BOOTSTRAP_SUPERUSERID, false);
		if (GetConfigOption(name, true, false))
			SetConfigOption(name, value, PGC_SUSET, PGC_S_OVERRIDE);
	}
	CommitTransactionCommand();
}

void
lifecycle_start(Oid database)
{
	bool		taken;

	on_proc_exit(end_for_good_when_starting, (Datum) 0);
	starting = true;

	/* Without a role, this is the bootstrap superuser, and nobody checks whether it may log in. */
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	before_shmem_exit(release_guard_at_exit, (Datum) 0);

	override_settings();
	StartTransactionCommand();
	extension = get_extension_oid("otel_links", true);
	slot_queue_leave();
	taken = OidIsValid(extension) && take_guard();

	/*
	 * The claim is dropped only after the guard was tried, because without a claim, sessions start
	 * further workers.  But a session that found the claim relies on this worker, even if the
	 * exporter that had the guard has given it up since.  So the guard is tried once more.
	 */
	start_claim_drop();
	if (OidIsValid(extension) && !taken)
		taken = take_guard();
	if (!taken)
	{
		CommitTransactionCommand();
		proc_exit(0);
	}
	starting = false;
	extension_row_xmin = extension_version();
	settings_hash = hash_settings();
	CommitTransactionCommand();
}

/* Exits and has a new worker start, which loads the current library and settings. */
pg_noreturn static void
hand_over(void)
{
	BackgroundWorker worker;

	(void) start_claim_take();
	CommitTransactionCommand();
	release_guard();
	exporter_describe(&worker, MyDatabaseId, 0);
	if (RegisterDynamicBackgroundWorker(&worker, NULL))
		proc_exit(0);
	proc_exit(1);				/* no slot is free: the postmaster starts this one again */
}

void
lifecycle_begin(void)
{
	TransactionId version;

	StartTransactionCommand();
	/*
	 * Either DROP EXTENSION waits for this lock before it drops anything, or we wait for its end.
	 */
	LockDatabaseObject(ExtensionRelationId, extension, 0, AccessShareLock);
	version = extension_version();
	if (!TransactionIdIsValid(version))
		proc_exit(0);
	if (version != extension_row_xmin)
		hand_over();
	PushActiveSnapshot(GetTransactionSnapshot());
}

bool
lifecycle_settings_changed(bool may_leave)
{
	if (hash_settings() == settings_hash)
		return false;
	if (!may_leave)
		return true;
	PopActiveSnapshot();
	hand_over();
}

void
lifecycle_commit(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(false);
}

void
lifecycle_abort(void)
{
	LOCKTAG		guard;
	bool		taken;

	AbortCurrentTransaction();
	LWLockReleaseAll();			/* for an error outside a transaction */
	exporter_guard_tag(&guard, extension);
	guard_held = lock_held_by_me(&guard, ExclusiveLock);
	if (guard_held)
		return;
	StartTransactionCommand();
	taken = take_guard();
	CommitTransactionCommand();
	if (!taken)
		proc_exit(0);
}

void
lifecycle_yield_database(void)
{
	bool		wanted;

	StartTransactionCommand();
	wanted = exporter_database_wanted();
	CommitTransactionCommand();
	if (!wanted)
		return;
	lifecycle_leave_if_empty();
	proc_exit(1);				/* to be started again: the database may still exist then */
}

/*
 * The SHARE lock keeps writers out, and they do not wait for it.  So it is held only until there is
 * a snapshot that shows what the last writer wrote, and the guard is free.  A session that writes
 * after that finds no exporter and starts one.  So the queue, which may be long, can be read
 * without the lock.
 */
void
lifecycle_leave_if_empty(void)
{
	bool		leave = false;
	Oid			queue_oid;

	lifecycle_begin();
	queue_oid = get_relname_relid("span_queue", get_namespace_oid("otel", false));
	if (ConditionalLockRelationOid(queue_oid, ShareLock))
	{
		Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
		Relation	queue;
		TableScanDesc scan;

		release_guard();
		queue = queue_table_open(&span_queue_table, AccessShareLock);
		UnlockRelationOid(queue_oid, ShareLock);
		scan = table_scan_all(queue, snapshot);
		leave = heap_getnext(scan, ForwardScanDirection) == NULL || !take_guard();
		table_endscan(scan);
		table_close(queue, AccessShareLock);
		UnregisterSnapshot(snapshot);
	}
	lifecycle_commit();
	if (leave)
		proc_exit(0);
}

void
lifecycle_leave(void)
{
	release_guard();
	proc_exit(0);
}

bool
lifecycle_flush_wanted(void)
{
	LOCKTAG		tag;
	bool		wanted;

	StartTransactionCommand();
	exporter_flush_tag(&tag, extension);
	wanted = try_lock(&tag, ExclusiveLock, false) == LOCKACQUIRE_NOT_AVAIL;
	CommitTransactionCommand();
	return wanted;
}
