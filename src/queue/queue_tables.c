/*
 * queue_tables.c: opening the queue and its companions.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "utils/lsyscache.h"

#include "queue/queue_tables.h"

Relation
export_table_open(const char *name, LOCKMODE mode)
{
	Oid			schema = get_namespace_oid("otel", true);
	Oid			table = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
	Relation	rel = OidIsValid(table) ? try_table_open(table, mode) : NULL;

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"otel.%s\" does not exist", name)));
	if (rel->rd_rel->relkind != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"otel.%s\" is not a table", name)));
	return rel;
}
