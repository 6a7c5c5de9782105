/*
 * span_queue.h: the writing end of otel.span_queue.
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
 * The table's oid, or InvalidOid.  A table of that name counts only when it belongs to the
 * extension: after a DROP EXTENSION a session still has this library.
 */
extern Oid	queue_find(void);

/*
 * Opens the queue for appending, waiting a millisecond at most for each lock that appending
 * needs: those of the table, of its TOAST table, and of the indexes of both.  *extension is the
 * extension's oid.  The locks are held to the transaction's end.
 */
extern QueueOpenResult queue_open(Relation *queue, Oid *extension);

/* Has the queue reached otel.queue_max_size, without room for more in it? */
extern bool queue_is_full(Relation queue);

/*
 * Adds to the count of spans that sessions dropped, which no rollback takes back.  False when the
 * sequence is locked, and nothing was counted.
 */
extern bool queue_count_dropped(int64 count);

/* Appends QUEUE_COLUMNS values, in queue_tables.h's order.  May raise what heap_insert() may. */
extern void queue_append_row(Relation queue, Datum *values, bool *nulls);

#endif
