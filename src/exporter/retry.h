/*
 * retry.h: when to try again after a failure.
 *
 * The wait doubles with each failure, with jitter, so that many servers do not come back at the
 * same moment.  It is longer if the collector asks for that.  force_flush() has an attempt made
 * earlier, where that costs no spans.
 */
#ifndef OTEL_EXPORTER_RETRY_H
#define OTEL_EXPORTER_RETRY_H

#include "postgres.h"

/*
 * Notes a failure.  retry_after_ms is the wait that the server asks for, -1 if it does not.  If the
 * spans that were sent have left the queue (spans_stayed is false), each attempt costs spans, and
 * not even force_flush() makes the next one earlier.
 */
extern void retry_schedule(bool spans_stayed, long retry_after_ms);

/* Is an attempt scheduled? */
extern bool retry_is_scheduled(void);

/* Ends the wait: nothing is scheduled any more, so that the next attempt is made at once. */
extern void retry_at_once(void);

/* After a success: the next failure counts as the first. */
extern void retry_forget_failures(void);

/* How long to wait, at most, until retry_is_due() is called again. */
extern int64 retry_wait_ms(void);

/* Is the wait over?  flush_wanted() returns whether a session waits in force_flush(). */
extern bool retry_is_due(bool (*flush_wanted) (void));

#endif
