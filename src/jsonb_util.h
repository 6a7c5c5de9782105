/*
 * jsonb_util.h: functions for jsonb that PostgreSQL does not have.
 */
#ifndef OTEL_LINKS_JSONB_UTIL_H
#define OTEL_LINKS_JSONB_UTIL_H

#include "postgres.h"
#include "utils/jsonb.h"

/* Does any string in the container, at any depth, have more than limit characters? */
extern bool jsonb_any_string_exceeds(JsonbContainer *container, int limit);

/*
 * Copies count members of an array or object, after the first skip ones, and cuts strings at any
 * depth to length_limit characters (-1: no limit).  *out is a tree for JsonbValueToJsonb(), in
 * CurrentMemoryContext.
 */
extern void jsonb_copy_members(JsonbContainer *container, int skip, int count, int length_limit,
							   JsonbValue *out);

/*
 * A copy of an object with only those of its outermost keys for which keep() is true, and their
 * values, in CurrentMemoryContext.  It takes one pass; jsonb_delete() would copy the whole object
 * for each key.
 */
extern Jsonb *jsonb_filter_keys(Jsonb *object, bool (*keep) (JsonbValue *key, void *arg),
								void *arg);

#endif
