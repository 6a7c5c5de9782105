/*
 * attributes.h: OpenTelemetry's limits on the attributes of a span, an event or a link.
 */
#ifndef OTEL_LINKS_ATTRIBUTES_H
#define OTEL_LINKS_ATTRIBUTES_H

#include "postgres.h"
#include "utils/jsonb.h"

/*
 * attrs (a JSON object, or NULL) within the limits, -1 being none: the first count_limit keys in
 * jsonb's order (shorter keys first), strings cut to value_length_limit characters wherever they are.
 * Empty keys, which OpenTelemetry does not allow, are dropped whatever the limit.  *dropped is the
 * number of keys that are gone.  Returns attrs itself when nothing changes, else a new value in
 * CurrentMemoryContext.  Specification: Common, "Attribute Limits".
 */
extern Jsonb *attributes_apply_limits(Jsonb *attrs, int count_limit, int value_length_limit,
									  int *dropped);

#endif
