/*
 * queue.h: the writing end of otel.span_queue.
 */
#ifndef OTEL_LINKS_QUEUE_H
#define OTEL_LINKS_QUEUE_H

#include "postgres.h"
#include "utils/rel.h"
#include "spans/span.h"

typedef enum QueueOpenResult
{
	QUEUE_OPENED,
	QUEUE_BUSY,					/* somebody holds a lock that keeps writers out: try at the next commit */
	QUEUE_MISSING				/* the extension is not installed in this database (any more) */
} QueueOpenResult;

/*
 * Opens the queue for appending, without waiting for its lock but for a millisecond.  *extension is the extension's oid.  The
 * lock is held to the transaction's end.
 */
extern QueueOpenResult queue_open(Relation *queue, Oid *extension);

/* Has the queue reached otel.queue_max_size, without room for more in it? */
extern bool queue_is_full(Relation queue);

/* Adds to the count of spans that sessions dropped, which no rollback takes back. */
extern void queue_count_dropped(int64 count);

/*
 * Appends a finished span, with link_overflow = split also the spans that carry its further links.
 * Allocates in CurrentMemoryContext, which the caller resets.  May raise what heap_insert() may.
 */
extern void queue_append(Relation queue, Span *span);

#endif
