/*
 * otlp_span.h: a row of the queue as an OTLP Span.
 */
#ifndef OTEL_OTLP_OTLP_SPAN_H
#define OTEL_OTLP_OTLP_SPAN_H

#include "postgres.h"
#include "access/tupdesc.h"
#include "exporter/otlp/writer.h"

/* The columns of the queue's events, to be looked up once a batch; in CurrentMemoryContext. */
extern TupleDesc otlp_event_columns(TupleDesc queue);

/*
 * Appends the span of a row: in protobuf as one item of ScopeSpans.spans, in JSON as an object
 * followed by a comma.  Rows are then put into a request one after the other (resource.h).  In a
 * transaction; memory is left in CurrentMemoryContext.  May raise when the row is damaged or too
 * large.
 */
extern void otlp_append_span(Writer *w, TupleDesc event_columns, Datum *values, bool *nulls);

#endif
