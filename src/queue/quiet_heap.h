/*
 * quiet_heap.h: writing rows that logical decoding does not see.
 *
 * Subscribers do not have the queue and the tables like it, so with a FOR ALL TABLES publication,
 * every subscription would stop as soon as one of their rows is decoded.  So rows are inserted with
 * HEAP_INSERT_NO_LOGICAL, and REPLICA IDENTITY NOTHING leaves nothing to send of a deleted row.  No
 * update can be hidden like that.  The tables have no index, no trigger, and no constraint but NOT
 * NULL.  Indexes that an administrator adds are maintained; constraints and triggers are ignored.
 */
#ifndef OTEL_LINKS_QUIET_HEAP_H
#define OTEL_LINKS_QUIET_HEAP_H

#include "postgres.h"
#include "utils/rel.h"

/*
 * Inserts a row; returns where it is.  rel is open with RowExclusiveLock; columns is the number of
 * values.  Columns that ALTER EXTENSION … UPDATE added, while this process still has the older
 * library, become NULL.  Values in another table's TOAST are copied.  Raises what heap_insert() and
 * an administrator's indexes may raise; the latter need an active snapshot.
 */
extern ItemPointerData quiet_insert(Relation rel, Datum *values, bool *nulls, int columns);

/*
 * Deletes a row, which must be visible to the transaction.  Raises an error if somebody else
 * deletes it at the same time.
 */
extern void quiet_delete(Relation rel, ItemPointer tid);

#endif
