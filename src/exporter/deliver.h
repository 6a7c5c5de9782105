/*
 * deliver.h: batches on their way, and what each kind of answer leads to.
 *
 * Several requests may be under way, of one batch or of several; each is settled by itself, as
 * soon as its answer is there, so that a worker that is killed sends as little as possible twice.
 */
#ifndef OTEL_EXPORTER_DELIVER_H
#define OTEL_EXPORTER_DELIVER_H

#include "postgres.h"

#include "exporter/batch.h"
#include "exporter/config.h"

/* What has come of the batches since deliver_begin(). */
typedef struct Outlook
{
	bool		stop;			/* start no more batches: wait before the next */
	bool		accepted;		/* a collector took spans */
	bool		spans_left;		/* what was refused has left the queue: trying again costs spans */
	long		retry_after_ms; /* the server's wish; -1: none */
	size_t		too_large;		/* a request of this size was perhaps too large; 0: none */
	int			small_enough;	/* requests that were taken */
	ItemPointerData resume;		/* invalid, or where rows begin that are to be read again */
} Outlook;

/* Forgets what has come of batches.  None may be under way. */
extern void deliver_begin(void);

/* May another batch be started? */
extern bool deliver_has_room(const ExporterConfig *config);

/*
 * Starts sending a batch, which lives in a memory context of its own; that is deleted when it is
 * done.
 */
extern void deliver_start(Batch *batch, MemoryContext context, const ExporterConfig *config);

/*
 * Sends, waits at most half a second for an answer, and settles what has been answered.  In no
 * transaction. Runs CHECK_FOR_INTERRUPTS() and tick().  Returns whether the latch was set.
 */
extern bool deliver_step(const ExporterConfig *config, void (*tick) (void));

/* Is any batch under way? */
extern bool deliver_is_busy(void);

extern const Outlook *deliver_outlook(void);

/* After an error: ends all requests.  The batches' memory is the caller's again. */
extern void deliver_cancel(void);

#endif
