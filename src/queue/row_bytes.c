/*
 * row_bytes.c: the bytes that spans take in the queue and in tables like it.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/heapam.h"
#include "access/tableam.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "queue/row_bytes.h"

int64
row_bytes(HeapTuple tuple, TupleDesc desc)
{
	int64		bytes = tuple->t_len;

	for (int i = 0; HeapTupleHasExternal(tuple) && i < desc->natts; i++)
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, i + 1, desc, &isnull);

		if (!isnull && TupleDescAttr(desc, i)->attlen == -1 &&
			VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(value)))
			bytes += toast_datum_size(value);
	}
	return bytes;
}

int64
row_bytes_of_table(Relation rel)
{
	TableScanDesc scan = table_scan_all(rel, GetActiveSnapshot());
	HeapTuple	tuple;
	int64		bytes = 0;

	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		bytes += row_bytes(tuple, RelationGetDescr(rel));
	}
	table_endscan(scan);
	return bytes;
}
