/*
 * link_limit.h: which links stay when a span may have only so many.
 */
#ifndef OTEL_LINKS_LINK_LIMIT_H
#define OTEL_LINKS_LINK_LIMIT_H

#include "postgres.h"
#include "links/span_link.h"

/*
 * Which links stay when there may be max of them: first one link per trace, with sampled contexts
 * before unsampled, then the rest in order.  Moves the links kept, in their order, to the front and
 * returns how many they are (nlinks minus that are dropped).
 */
extern int	link_limit_apply(SpanLink *links, int nlinks, int max);

#endif
