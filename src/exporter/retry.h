/*
 * retry.h: when to try again after a failure.
 *
 * The wait is doubled each time, with jitter, so that many servers do not return at once, or is
 * what the server asks for.  force_flush() has an attempt made earlier, where that costs nothing.
 */
#ifndef OTEL_EXPORTER_RETRY_H
#define OTEL_EXPORTER_RETRY_H

#include "postgres.h"

/*
 * One more failure.  retry_after_ms is the server's wish, -1 when it has none.  Where what was sent
 * has left the queue (spans_stayed is false), each attempt costs spans, and nobody's wish makes it
 * earlier.
 */
extern void retry_schedule(bool spans_stayed, long retry_after_ms);

/* Is there a wait? */
extern bool retry_is_scheduled(void);

/* Ends the wait: the next attempt is made at once. */
extern void retry_at_once(void);

/* Success: the next failure is the first. */
extern void retry_forget_failures(void);

/* How long to wait still, at most, before retry_is_due() is to be asked. */
extern int64 retry_wait_ms(void);

/* Is the wait over?  flush_wanted says whether a session waits in force_flush(). */
extern bool retry_is_due(bool (*flush_wanted) (void));

#endif
