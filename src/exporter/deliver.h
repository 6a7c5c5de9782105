/*
 * deliver.h: batches on their way, and what each kind of answer leads to.
 *
 * Several requests may be under way, of one batch or of several.  Each is settled by itself as soon
 * as its answer arrives, so that a worker that is killed sends as little as possible twice.
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
	bool		accepted;		/* the collector accepted spans */
	bool		spans_left;		/* refused spans have left the queue: each attempt costs spans */
	long		retry_after_ms; /* the wait that the server asks for; -1: none */
	size_t		too_large;		/* a request of this size was perhaps too large; 0: none */
	int			small_enough;	/* requests that were accepted */
	ItemPointerData resume;		/* where to read again from; invalid: read on */
} Outlook;

/* Resets the outlook.  No batch may be under way. */
extern void deliver_begin(void);

/* May another batch be started? */
extern bool deliver_has_room(const ExporterConfig *config);

/*
 * Starts sending a batch.  Deletes the batch's memory context when all of it is done.  Outside
 * transactions; raises what settling rows and transport_submit() may raise.
 */
extern void deliver_start(Batch *batch, MemoryContext context, const ExporterConfig *config);

/*
 * Sends, waits at most half a second for an answer, and settles what has been answered.  Outside
 * transactions; raises as deliver_start() does.  Runs CHECK_FOR_INTERRUPTS() and tick().  Returns
 * whether the latch was set.
 */
extern bool deliver_step(const ExporterConfig *config, void (*tick) (void));

/* Is any batch under way? */
extern bool deliver_is_busy(void);

extern const Outlook *deliver_outlook(void);

/* After an error: ends all requests.  The caller then frees the batches' memory. */
extern void deliver_cancel(void);

#endif
