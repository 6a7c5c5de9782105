/*
 * link_limit.h: which links stay when there are more than a span may have.
 */
#ifndef OTEL_LINKS_LINK_LIMIT_H
#define OTEL_LINKS_LINK_LIMIT_H

#include "postgres.h"
#include "links/span_link.h"

/*
 * Chooses max links: first one link per trace, sampled ones before unsampled ones, then the rest in
 * order.  Moves these, in their order, to the front of the array and returns how many they are; the
 * others are to be dropped.
 */
extern int	link_limit_apply(SpanLink *links, int nlinks, int max);

#endif
