/*
 * attribute_limits.h: OpenTelemetry's limits on the attributes of a span, an event or a link.
 */
#ifndef OTEL_LINKS_ATTRIBUTE_LIMITS_H
#define OTEL_LINKS_ATTRIBUTE_LIMITS_H

#include "postgres.h"
#include "utils/jsonb.h"

/*
 * Applies the limits (-1: none) to attrs, a JSON object or NULL: keeps the first count_limit keys
 * in jsonb's order (shorter keys first) and cuts all strings to value_length_limit characters.
 * Empty keys, which OpenTelemetry does not allow, are always dropped.  *dropped is the number of
 * keys that were dropped.  Returns attrs itself when nothing changes, else a new value in
 * CurrentMemoryContext.  Specification: Common, "Attribute Limits".
 */
extern Jsonb *attributes_apply_limits(Jsonb *attrs, int count_limit, int value_length_limit,
									  int *dropped);

/*
 * Adds attributes to old ones (or NULL) within the limits: an existing key gets its new value, and
 * a new key is dropped when there is no room.  Adds the number of dropped keys to *dropped.  The
 * result is a new value in CurrentMemoryContext.
 */
extern Jsonb *attributes_merge(Jsonb *old, Jsonb *attributes, int count_limit,
							   int value_length_limit, int *dropped);

/* An object of n strings, in CurrentMemoryContext; those that are NULL are left out. */
extern Jsonb *attributes_from_strings(int n, const char *const *keys, const char *const *values);

#endif
