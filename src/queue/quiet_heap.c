/*
 * quiet_heap.c: writing rows that logical decoding does not see.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "compat.h"
#include "queue/quiet_heap.h"

/* Does any of the open indexes have an expression or a predicate, which is code to run? */
static bool
indexes_run_code(ResultRelInfo *result_rel)
{
	for (int i = 0; i < result_rel->ri_NumIndices; i++)
	{
		IndexInfo  *index = result_rel->ri_IndexRelationInfo[i];

		if (index->ii_Expressions != NIL || index->ii_Predicate != NIL)
			return true;
	}
	return false;
}

/*
 * The code of an administrator's index runs as the table's owner and with a safe search_path, as in
 * CREATE INDEX and VACUUM: any user's session may record spans, and the exporter is a superuser.
 */
static void
insert_as_owner(ResultRelInfo *result_rel, TupleTableSlot *slot, EState *estate)
{
	Oid			user;
	int			security;
	int			nest_level = NewGUCNestLevel();

	GetUserIdAndSecContext(&user, &security);
	PG_TRY();
	{
		SetUserIdAndSecContext(result_rel->ri_RelationDesc->rd_rel->relowner,
							   security | SECURITY_RESTRICTED_OPERATION);
		(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
		(void) insert_index_tuples(result_rel, slot, estate);
	}
	PG_FINALLY();
	{
		AtEOXact_GUC(false, nest_level);
		SetUserIdAndSecContext(user, security);
	}
	PG_END_TRY();
}

/* We create no indexes, but those of an administrator must get the new row. */
static void
insert_into_indexes(Relation rel, HeapTuple tuple)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *result_rel = makeNode(ResultRelInfo);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsHeapTuple);

	InitResultRelInfo(result_rel, rel, 1, NULL, 0);
	ExecOpenIndices(result_rel, false);
	ExecStoreHeapTuple(tuple, slot, false);
	if (indexes_run_code(result_rel))
		insert_as_owner(result_rel, slot, estate);
	else
		(void) insert_index_tuples(result_rel, slot, estate);
	ExecCloseIndices(result_rel);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
	pfree(result_rel);
}

ItemPointerData
quiet_insert(Relation rel, Datum *values, bool *nulls, int columns)
{
	TupleDesc	desc = RelationGetDescr(rel);
	HeapTuple	tuple;
	ItemPointerData tid;

	if (desc->natts > columns)
	{
		Datum	   *all_values = palloc0(desc->natts * sizeof(Datum));
		bool	   *all_nulls = palloc(desc->natts * sizeof(bool));

		memcpy(all_values, values, columns * sizeof(Datum));
		memset(all_nulls, true, desc->natts * sizeof(bool));
		memcpy(all_nulls, nulls, columns * sizeof(bool));
		tuple = heap_form_tuple(desc, all_values, all_nulls);
		pfree(all_values);
		pfree(all_nulls);
	}
	else
		tuple = heap_form_tuple(desc, values, nulls);
	heap_insert(rel, tuple, GetCurrentCommandId(true), HEAP_INSERT_NO_LOGICAL, NULL);
	if (rel->rd_rel->relhasindex)
		insert_into_indexes(rel, tuple);
	tid = tuple->t_self;
	heap_freetuple(tuple);
	return tid;
}

void
quiet_delete(Relation rel, ItemPointer tid)
{
	simple_heap_delete(rel, tid);
}
