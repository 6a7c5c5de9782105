/*
 * quiet_heap.h: writing rows that logical decoding does not see.
 *
 * The queue and its companions are in no subscriber's schema, so that a FOR ALL TABLES publication would
 * stop every subscription the moment a row of theirs is decoded.  Rows go in with HEAP_INSERT_NO_LOGICAL,
 * and REPLICA IDENTITY NOTHING leaves a deleted row nothing to send.  There is no quiet update.  The
 * tables have no index, no constraint but NOT NULL (checked by nobody here) and no trigger.
 */
#ifndef OTEL_LINKS_QUIET_HEAP_H
#define OTEL_LINKS_QUIET_HEAP_H

#include "postgres.h"
#include "utils/rel.h"

/*
 * rel is open with RowExclusiveLock; columns is how many values there are.  A table that ALTER EXTENSION …
 * UPDATE gave further columns, while this process still has the older library, keeps NULL in those.  Values
 * that live in another table's TOAST are copied.  Returns where the row is.
 */
extern ItemPointerData quiet_insert(Relation rel, Datum *values, bool *nulls, int columns);

/* The row must be visible to the transaction; somebody else's deletion at the same time is an error. */
extern void quiet_delete(Relation rel, ItemPointer tid);

#endif
