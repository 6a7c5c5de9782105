/*
 * span_queue.h: writing to otel.span_queue.
 */
#ifndef OTEL_LINKS_SPAN_QUEUE_H
#define OTEL_LINKS_SPAN_QUEUE_H

#include "postgres.h"
#include "utils/rel.h"

typedef enum QueueOpenResult
{
	QUEUE_OPENED,
	QUEUE_BUSY,					/* a lock keeps writers out: try at the next commit */
	QUEUE_REFUSED,				/* somebody altered the table; a warning said so */
	QUEUE_MISSING				/* the extension is not (or no longer) installed in this database */
} QueueOpenResult;

/*
 * The table's oid, or InvalidOid.  A table of that name counts only if it belongs to the extension:
 * after DROP EXTENSION, a session still has this library.  Needs a transaction.
 */
extern Oid	queue_find(void);

/*
 * Opens the queue for appending.  Waits at most a millisecond for each lock that appending needs:
 * on the table, on its TOAST table, and on the indexes of both.  The locks are held to the end of
 * the transaction.  *extension is the extension's oid.  Raises what catalog look-ups may raise.
 */
extern QueueOpenResult queue_open(Relation *queue, Oid *extension);

/* Have the queue's files reached otel.queue_max_size, and is there no room left in them? */
extern bool queue_is_full(Relation queue);

/*
 * Adds to the count of spans that sessions dropped, which a rollback does not undo.  False when the
 * sequence is locked and nothing was counted.  Raises as counter_add() does.
 */
extern bool queue_count_dropped(int64 count);

/* Appends QUEUE_COLUMNS values, in queue_tables.h's order.  May raise what heap_insert() may. */
extern void queue_append_row(Relation queue, Datum *values, bool *nulls);

#endif
