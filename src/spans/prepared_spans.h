/*
 * prepared_spans.h: the spans that ROLLBACK PREPARED takes along.
 */
#ifndef OTEL_LINKS_PREPARED_SPANS_H
#define OTEL_LINKS_PREPARED_SPANS_H

#include "postgres.h"

/*
 * How many rows of the queue ROLLBACK PREPARED of that transaction, which is about to run, takes
 * along.  Raises nothing, waits for no lock.
 */
extern int64 prepared_spans_count(const char *gid);

/* It has run: so many are lost.  The end of the current transaction counts them. */
extern void prepared_spans_lost(int64 rows);

#endif
