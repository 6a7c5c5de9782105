/*
 * unsampled.h: how many spans a sampler left out.
 *
 * Owns the session's count, and when it is added to the database's, otel.not_sampled_spans.  An
 * unsampled span writes nothing, and counting each would make every such transaction write.  So the
 * session adds up, and reports when a transaction commits, at most every UNSAMPLED_INTERVAL_MS, and
 * when the session ends.
 */
#ifndef OTEL_LINKS_UNSAMPLED_H
#define OTEL_LINKS_UNSAMPLED_H

#include "postgres.h"

#define UNSAMPLED_INTERVAL_MS 10000

extern int64 unsampled_spans;	/* not reported yet */

/* Is there something to report, and is it time for it?  For an exiting session it always is. */
extern bool unsampled_is_due(void);

/*
 * Reports.  Needs a transaction that may write; raises as counter_add() does.  If the sequence is
 * locked, the count is reported an interval later.
 */
extern void unsampled_report(void);

#endif
