/*
 * attribute_limits.h: OpenTelemetry's limits on the attributes of a span, an event or a link.
 */
#ifndef OTEL_LINKS_ATTRIBUTE_LIMITS_H
#define OTEL_LINKS_ATTRIBUTE_LIMITS_H

#include "postgres.h"
#include "utils/jsonb.h"

/*
 * attrs (a JSON object, or NULL) within the limits, -1 being none: the first count_limit keys in
 * jsonb's order (shorter keys first), strings cut to value_length_limit characters wherever they
 * are.  Empty keys, which OpenTelemetry does not allow, are dropped whatever the limit.  *dropped
 * is the number of keys that are gone.  Returns attrs itself when nothing changes, else a new
 * value in CurrentMemoryContext.  Specification: Common, "Attribute Limits".
 */
extern Jsonb *attributes_apply_limits(Jsonb *attrs, int count_limit, int value_length_limit,
									  int *dropped);

/*
 * attributes put over old ones (or NULL), within the limits: a key that is there gets its new
 * value, a further key is dropped where there is no room.  Adds the number of keys dropped to
 * *dropped.  The result is a new value in CurrentMemoryContext.
 */
extern Jsonb *attributes_merge(Jsonb *old, Jsonb *attributes, int count_limit,
							   int value_length_limit, int *dropped);

/* An object of n strings; those that are NULL are left out. */
extern Jsonb *attributes_from_strings(int n, const char *const *keys, const char *const *values);

#endif
