/*
 * quiet_heap.h: writing rows that logical decoding does not see.
 *
 * The queue and its companions are in no subscriber's schema, so a FOR ALL TABLES publication would
 * stop every subscription the moment one of their rows is decoded.  Rows go in with
 * HEAP_INSERT_NO_LOGICAL, and REPLICA IDENTITY NOTHING leaves a deleted row nothing to send.  There
 * is no quiet update.  The tables have no index of ours, no constraint but NOT NULL and no trigger;
 * indexes that an administrator adds are kept up, constraints and triggers are not looked at.
 */
#ifndef OTEL_LINKS_QUIET_HEAP_H
#define OTEL_LINKS_QUIET_HEAP_H

#include "postgres.h"
#include "utils/rel.h"

/*
 * rel is open with RowExclusiveLock; columns is how many values there are.  Columns that ALTER
 * EXTENSION … UPDATE added, while this process still has the older library, are NULL.  Values that
 * live in another table's TOAST are copied.  Returns where the row is.  With an administrator's
 * indexes it may raise whatever they may: it needs an active snapshot then.
 */
extern ItemPointerData quiet_insert(Relation rel, Datum *values, bool *nulls, int columns);

/*
 * The row must be visible to the transaction; somebody else's deletion at the same time is an
 * error.
 */
extern void quiet_delete(Relation rel, ItemPointer tid);

#endif
