/*
 * span_queue.c: writing to otel.span_queue.
 *
 * Owns finding and opening the table, its size limit, the count of dropped spans, and the insert of
 * a row.  It does not know spans: spans/span_row.c decides what a row consists of.
 *
 * Rows are appended below the executor (quiet_heap.h).  There is no plan and no trigger, so no code
 * of a user runs, and permissions are not checked: whoever may call the span functions may record.
 * Rows are kept out of logical decoding, where they would stop every subscriber that has no such
 * table, but they are WAL-logged and physically replicated.  On PostgreSQL 15, a row took 1.3 µs;
 * an INSERT by the executor into a table with a primary key took 5.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/extension.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/relcache.h"

#include "queue/counter.h"
#include "queue/file_room.h"
#include "queue/lock_soon.h"
#include "queue/queue_tables.h"
#include "queue/quiet_heap.h"
#include "queue/span_queue.h"
#include "settings.h"

static Oid	queue_oid = InvalidOid;
static Oid	extension_oid = InvalidOid;
static bool refused = false;	/* a warning was given, and the queue has not been opened since */

/* ---- finding the table ---- */

/* After any change to the table, such as DROP EXTENSION, it is looked up again. */
static void
forget_queue(Datum arg, Oid relid)
{
	if (relid == queue_oid || relid == InvalidOid)
		queue_oid = InvalidOid;
}

Oid
queue_find(void)
{
	static bool registered = false;
	Oid			schema;
	Oid			relid;

	if (OidIsValid(queue_oid))
		return queue_oid;
	if (!registered)
	{
		CacheRegisterRelcacheCallback(forget_queue, (Datum) 0);
		registered = true;
	}
	extension_oid = get_extension_oid("otel_links", true);
	schema = get_namespace_oid("otel", true);
	if (!OidIsValid(extension_oid) || !OidIsValid(schema))
		return InvalidOid;
	relid = get_relname_relid("span_queue", schema);
	if (!OidIsValid(relid) ||
		getExtensionOfObject(RelationRelationId, relid) != extension_oid)
		return InvalidOid;
	return queue_oid = relid;
}

/* Warns why spans are dropped, once until the queue can be used again. */
static QueueOpenResult
refuse_queue(const char *mismatch)
{
	if (!refused)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("spans are dropped: table \"otel.span_queue\" was altered"),
				 errdetail_internal("%s", mismatch),
				 errhint("%s", altered_hint())));
	refused = true;
	return QUEUE_REFUSED;
}

/* There is no such table: the extension is gone, or somebody moved or replaced it. */
static QueueOpenResult
queue_not_found(void)
{
	if (!OidIsValid(extension_oid))
		return QUEUE_MISSING;
	return refuse_queue(_("It is not where otel_links created it."));
}

/* ---- locks: a COMMIT does not wait for them ---- */

/* Locks a table's indexes, which some commands lock without the table. */
static bool
lock_indexes(Relation rel)
{
	ListCell   *cell;

	if (!rel->rd_rel->relhasindex)
		return true;
	foreach(cell, RelationGetIndexList(rel))
	{
		if (!lock_soon(lfirst_oid(cell), RowExclusiveLock))
			return false;
	}
	return true;
}

/*
 * Tries to lock the TOAST table and its indexes, because heap_insert() would wait for these locks
 * to store a value out of line.  REINDEX holds that of the table until it is done.
 */
static bool
lock_toast(Relation queue)
{
	Oid			toast_oid = queue->rd_rel->reltoastrelid;
	Relation	toast;
	bool		locked;

	if (!OidIsValid(toast_oid))
		return true;
	if (!lock_soon(toast_oid, RowExclusiveLock))
		return false;
	toast = table_open(toast_oid, NoLock);
	locked = lock_indexes(toast);
	table_close(toast, NoLock);
	return locked;
}

QueueOpenResult
queue_open(Relation *queue, Oid *extension)
{
	Oid			relid = queue_find();
	char	   *mismatch;

	if (!OidIsValid(relid))
		return queue_not_found();
	if (!lock_soon(relid, RowExclusiveLock))
		return QUEUE_BUSY;
	/* While locking, we may have learnt that the table is gone. */
	if (relid != queue_find() || (*queue = try_table_open(relid, NoLock)) == NULL)
	{
		UnlockRelationOid(relid, RowExclusiveLock);
		return OidIsValid(queue_find()) ? QUEUE_BUSY : queue_not_found();
	}
	mismatch = queue_table_mismatch(&span_queue_table, *queue);
	if (mismatch)
	{
		table_close(*queue, RowExclusiveLock);
		return refuse_queue(mismatch);
	}
	if (!lock_indexes(*queue) || !lock_toast(*queue))
	{
		table_close(*queue, RowExclusiveLock);
		return QUEUE_BUSY;
	}
	refused = false;
	*extension = extension_oid;
	return QUEUE_OPENED;
}

/* ---- its size limit ---- */

bool
queue_is_full(Relation queue)
{
	return files_are_full(queue, (int64) otel_queue_max_size * 1024);
}

bool
queue_count_dropped(int64 count)
{
	return counter_add("dropped_spans", count);
}

/* ---- one row ---- */

void
queue_append_row(Relation queue, Datum *values, bool *nulls)
{
	(void) quiet_insert(queue, values, nulls, QUEUE_COLUMNS);
}
