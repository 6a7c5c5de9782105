/*
 * quiet_heap.c: writing rows that logical decoding does not see.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/xact.h"

#include "queue/quiet_heap.h"

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
	tid = tuple->t_self;
	heap_freetuple(tuple);
	return tid;
}

void
quiet_delete(Relation rel, ItemPointer tid)
{
	simple_heap_delete(rel, tid);
}
