/*
 * unsampled.h: how many spans a sampler left out.
 *
 * Owns the session's count and when it is added to the database's, otel.not_sampled_spans.  An
 * unsampled span writes nothing, so its count must not make it a transaction that does: the session
 * adds up, and reports at most every UNSAMPLED_INTERVAL_MS, in a transaction that commits anyway,
 * and when it ends.
 */
#ifndef OTEL_LINKS_UNSAMPLED_H
#define OTEL_LINKS_UNSAMPLED_H

#include "postgres.h"

#define UNSAMPLED_INTERVAL_MS 10000

extern int64 unsampled_spans;	/* not reported yet */

/* Is there something to report, and is it time to?  Any time is for a session that ends. */
extern bool unsampled_is_due(void);

/* Reports, in a transaction that may write.  Where the sequence is locked, an interval later. */
extern void unsampled_report(void);

#endif
