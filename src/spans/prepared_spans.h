/*
 * prepared_spans.h: the spans that are lost by ROLLBACK PREPARED.
 */
#ifndef OTEL_LINKS_PREPARED_SPANS_H
#define OTEL_LINKS_PREPARED_SPANS_H

#include "postgres.h"

/*
 * How many rows of the queue will be lost by ROLLBACK PREPARED of that transaction, which is about
 * to run.  Logs an error instead of raising it, and waits for no lock.
 */
extern int64 prepared_spans_count(const char *gid);

/* It has run, and this many are lost.  They are counted at the end of the current transaction. */
extern void prepared_spans_lost(int64 rows);

#endif
