/*
 * span_flush.h: the way of the waiting spans into the queue, and the count of those that are lost.
 */
#ifndef OTEL_LINKS_SPAN_FLUSH_H
#define OTEL_LINKS_SPAN_FLUSH_H

#include "postgres.h"

typedef enum FlushResult
{
	FLUSH_NOTHING,				/* nothing waits, or this transaction may not write */
	FLUSH_DONE,
	FLUSH_BUSY,					/* a lock was not to be had: try at the next commit */
	FLUSH_FAILED				/* with a warning */
} FlushResult;

typedef enum FlushOccasion
{
	FLUSH_EARLY,				/* the transaction goes on */
	FLUSH_AT_COMMIT,			/* interrupts are put off until the transaction is over */
	FLUSH_AT_PREPARE			/* ... and only what ended in this transaction is appended */
} FlushOccasion;

/*
 * Is a flush under way?  The callbacks of its own subtransaction are then none of the spans', and
 * the span functions do nothing: an administrator's index on the queue may call them.
 */
extern bool span_flushing;

/*
 * Appends what waits to the queue, within the current transaction, and marks it queued: the
 * oldest SPAN_FLUSH_MAX_SPANS or SPAN_FLUSH_MAX_SIZE bytes of it, the rest at the next commit.
 * Waits for no lock, acts on no interrupt, and what goes wrong becomes a warning.
 */
extern FlushResult span_flush(FlushOccasion occasion);

/* Queues early when too many spans wait.  After a span was started or ended. */
extern void span_flush_bound_waiting(void);

/* Forgets all that waits; it counts as dropped. */
extern void span_flush_drop_waiting(void);

/* Spans given up that the queue's count does not know of yet. */
extern int64 span_flush_dropped(void);

/* So many more, which were lost elsewhere.  The end of the current transaction counts them. */
extern void span_flush_add_dropped(int64 spans);

/* Rows that the current transaction appended early, and takes along when it rolls back. */
extern int64 span_flush_early_rows(void);

/* Tells the queue's count of them, in the current transaction.  False when it could not. */
extern bool span_flush_count_dropped(void);

/* The current transaction, or a subtransaction, is over.  These cannot fail. */
extern void span_flush_after_commit(void);
extern void span_flush_after_abort(void);
extern void span_flush_after_subcommit(SubTransactionId subid, SubTransactionId parent);
extern void span_flush_after_subabort(SubTransactionId subid);

#endif
