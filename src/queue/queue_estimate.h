/*
 * queue_estimate.h: how many spans a table holds, at a cost that does not grow with it.
 */
#ifndef OTEL_LINKS_QUEUE_ESTIMATE_H
#define OTEL_LINKS_QUEUE_ESTIMATE_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "utils/rel.h"

typedef struct QueueEstimate
{
	int64		spans;
	int64		bytes;			/* of their rows, as row_bytes.h counts them */
	TimestampTz oldest;			/* the earliest end of a span; DT_NOEND when there is none */
} QueueEstimate;

/*
 * Estimates the rows that the active snapshot shows of an open table that begins with the queue's
 * columns.  Raises what reading pages and interrupts raise.
 */
extern QueueEstimate queue_estimate(Relation rel);

#endif
