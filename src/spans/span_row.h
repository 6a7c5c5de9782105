/*
 * span_row.h: makes a row of otel.span_queue from a finished span.
 */
#ifndef OTEL_LINKS_SPAN_ROW_H
#define OTEL_LINKS_SPAN_ROW_H

#include "postgres.h"
#include "spans/span.h"
#include "utils/rel.h"

/*
 * Appends a finished span, with link_overflow = split also the spans that carry its further links.
 * Allocates in CurrentMemoryContext, which the caller resets.  May raise what heap_insert() may.
 */
extern void span_row_append(Relation queue, const Span *span);

#endif
