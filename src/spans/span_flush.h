/*
 * span_flush.h: writing the waiting spans into the queue, and the count of lost ones.
 */
#ifndef OTEL_LINKS_SPAN_FLUSH_H
#define OTEL_LINKS_SPAN_FLUSH_H

#include "postgres.h"

typedef enum FlushResult
{
	FLUSH_NOTHING,				/* nothing waits, or this transaction may not write */
	FLUSH_DONE,
	FLUSH_BUSY,					/* somebody holds a lock: try at the next commit */
	FLUSH_FAILED				/* an error was caught; there may have been a warning */
} FlushResult;

typedef enum FlushOccasion
{
	FLUSH_EARLY,				/* the transaction goes on, or the session exits */
	FLUSH_AT_COMMIT,			/* interrupts are put off until the transaction is over */
	FLUSH_AT_PREPARE			/* likewise, and only spans that ended in it are appended */
} FlushOccasion;

/*
 * Is a flush under way?  Then callbacks for its own subtransaction are ignored, and the span
 * functions do nothing: an administrator's index on the queue may call them.
 */
extern bool span_flushing;

/*
 * Appends waiting spans to the queue, within the current transaction, and marks them queued: the
 * oldest SPAN_FLUSH_MAX_SPANS or SPAN_FLUSH_MAX_SIZE bytes, the rest at the next commit.  Waits for
 * no lock longer than a millisecond and does not act on interrupts.  An error becomes a warning;
 * only with Citus is it raised (span_flush.c).
 */
extern FlushResult span_flush(FlushOccasion occasion);

/*
 * Appends early when too many spans wait, and drops some when that fails.  Call it after a span was
 * started or ended.  Raises only when memory is short.
 */
extern void span_flush_bound_waiting(void);

/* Frees all waiting spans and counts them as dropped. */
extern void span_flush_drop_waiting(void);

/* How many dropped spans have not been added to the queue's count yet. */
extern int64 span_flush_dropped(void);

/* Adds spans that were lost elsewhere; they are counted at the end of the current transaction. */
extern void span_flush_add_dropped(int64 spans);

/* How many rows the current transaction appended early; they are lost if it rolls back. */
extern int64 span_flush_early_rows(void);

/*
 * Adds the dropped spans to the queue's count, in the current transaction.  False when somebody
 * holds a lock.  Raises as counter_add() does.
 */
extern bool span_flush_count_dropped(void);

/* The current transaction, or a subtransaction, is over.  These cannot fail. */
extern void span_flush_after_commit(void);
extern void span_flush_after_abort(void);
extern void span_flush_after_subcommit(SubTransactionId subid, SubTransactionId parent);
extern void span_flush_after_subabort(SubTransactionId subid);

#endif
