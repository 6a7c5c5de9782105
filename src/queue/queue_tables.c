/*
 * queue_tables.c: the queue and its companions: their columns, and how they are opened.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

#include "queue/queue_tables.h"

/* ---- the columns, in the order of the enumerations ---- */

#define SPAN_COLUMNS \
	{"origin_system", INT8OID, NULL, true}, \
	{"start_time", TIMESTAMPTZOID, NULL, true}, \
	{"end_time", TIMESTAMPTZOID, NULL, true}, \
	{"origin_database", OIDOID, NULL, true}, \
	{"dropped_attributes_count", INT4OID, NULL, true}, \
	{"dropped_events_count", INT4OID, NULL, true}, \
	{"dropped_links_count", INT4OID, NULL, true}, \
	{"kind", INT2OID, NULL, true}, \
	{"status_code", INT2OID, NULL, true}, \
	{"parent_is_remote", BOOLOID, NULL, true}, \
	{"context", InvalidOid, "otel.trace_context", true}, \
	{"parent_span_id", TEXTOID, NULL, false}, \
	{"name", TEXTOID, NULL, true}, \
	{"status_message", TEXTOID, NULL, false}, \
	{"attributes", JSONBOID, NULL, false}, \
	{"events", InvalidOid, "otel.span_event[]", false}, \
	{"links", InvalidOid, "otel.packed_links", false}

static const Column queue_columns[] = {SPAN_COLUMNS};

static const Column failed_columns[] = {
	SPAN_COLUMNS,
	{"failed_at", TIMESTAMPTZOID, NULL, true},
	{"error", TEXTOID, NULL, true}
};

static const Column exported_columns[] = {
	SPAN_COLUMNS,
	{"exported_at", TIMESTAMPTZOID, NULL, true}
};

static const Column state_columns[] = {
	{"origin_system", INT8OID, NULL, true},
	{"origin_database", OIDOID, NULL, true},
	{"exported", INT8OID, NULL, true},
	{"rejected", INT8OID, NULL, true},
	{"dropped", INT8OID, NULL, true},
	{"start_failures_seen", INT8OID, NULL, true},
	{"last_success", TIMESTAMPTZOID, NULL, false},
	{"last_error_at", TIMESTAMPTZOID, NULL, false},
	{"last_error", TEXTOID, NULL, false}
};

static const Column event_columns[] = {
	{"time", TIMESTAMPTZOID, NULL, false},
	{"name", TEXTOID, NULL, false},
	{"attributes", JSONBOID, NULL, false},
	{"dropped_attributes_count", INT4OID, NULL, false}
};

StaticAssertDecl(lengthof(queue_columns) == QUEUE_COLUMNS, "columns of otel.span_queue");
StaticAssertDecl(lengthof(failed_columns) == FAILED_COLUMNS, "columns of otel.failed_spans");
StaticAssertDecl(lengthof(exported_columns) == EXPORTED_COLUMNS, "columns of otel.exported_spans");
StaticAssertDecl(lengthof(state_columns) == STATE_COLUMNS, "columns of otel.exporter_state");
StaticAssertDecl(lengthof(event_columns) == SPAN_EVENT_COLUMNS, "columns of otel.span_event");

#define COLUMNS(columns_) .columns = columns_, .ncolumns = lengthof(columns_)

QueueTable	span_queue_table = {
	.name = "span_queue", COLUMNS(queue_columns), .written_at_commit = true
};
QueueTable	failed_spans_table = {.name = "failed_spans", COLUMNS(failed_columns)};
QueueTable	exported_spans_table = {.name = "exported_spans", COLUMNS(exported_columns)};
QueueTable	exporter_state_table = {.name = "exporter_state", COLUMNS(state_columns)};
RowType		span_event_row_type = {.name = "otel.span_event", COLUMNS(event_columns)};

/* ---- is a table as expected? ---- */

static QueueTable *const tables[] = {
	&span_queue_table, &failed_spans_table, &exported_spans_table, &exporter_state_table
};

static uint64 changes;			/* relcache invalidations that this process received */

/* Relcache callback: a table that changed is checked again before its next use. */
static void
forget_checks(Datum arg, Oid relid)
{
	changes++;
	for (int i = 0; i < (int) lengthof(tables); i++)
	{
		if (relid == tables[i]->checked || relid == InvalidOid)
			tables[i]->checked = InvalidOid;
	}
}

/*
 * Inserting into a unique index waits for any transaction that has inserted or deleted the same
 * key.  A COMMIT must not wait for that.
 */
static char *
index_mismatch(Relation rel)
{
	char	   *mismatch = NULL;
	ListCell   *cell;

	foreach(cell, RelationGetIndexList(rel))
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(cell)));
		Form_pg_index index;

		if (!HeapTupleIsValid(tuple))
			continue;
		index = (Form_pg_index) GETSTRUCT(tuple);
		if (index->indisunique || index->indisexclusion)
			mismatch = psprintf(_("Index \"%s\" is unique or an exclusion constraint."),
								get_rel_name(lfirst_oid(cell)));
		ReleaseSysCache(tuple);
	}
	return mismatch;
}

static char *
table_mismatch(const QueueTable *table, Relation rel)
{
	char	   *mismatch;

	if (rel->rd_rel->relkind != RELKIND_RELATION)
		return pstrdup(_("It is not a table."));
	if (rel->rd_rel->relam != HEAP_TABLE_AM_OID)
		return pstrdup(_("Its access method is not heap."));
	mismatch = columns_mismatch(RelationGetDescr(rel), table->columns, table->ncolumns);
	if (mismatch == NULL && table->written_at_commit && rel->rd_rel->relhasindex)
		mismatch = index_mismatch(rel);
	return mismatch;
}

char *
queue_table_mismatch(QueueTable *table, Relation rel)
{
	static bool registered = false;
	uint64		changes_before = changes;
	char	   *mismatch;

	if (table->checked == RelationGetRelid(rel))
		return NULL;
	if (!registered)
		CacheRegisterRelcacheCallback(forget_checks, (Datum) 0);
	registered = true;
	mismatch = table_mismatch(table, rel);
	if (mismatch == NULL && changes == changes_before)
		table->checked = RelationGetRelid(rel);
	return mismatch;
}

Relation
queue_table_open(QueueTable *table, LOCKMODE mode)
{
	Oid			schema = get_namespace_oid("otel", true);
	Oid			relid = OidIsValid(schema) ? get_relname_relid(table->name, schema) : InvalidOid;
	Relation	rel = OidIsValid(relid) ? try_table_open(relid, mode) : NULL;
	char	   *mismatch;

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"otel.%s\" does not exist", table->name)));
	mismatch = queue_table_mismatch(table, rel);
	if (mismatch)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"otel.%s\" was altered", table->name),
				 errdetail_internal("%s", mismatch),
				 errhint("%s", altered_hint())));
	return rel;
}
