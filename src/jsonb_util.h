/*
 * jsonb_util.h: what PostgreSQL's jsonb functions do not offer.
 */
#ifndef OTEL_LINKS_JSONB_UTIL_H
#define OTEL_LINKS_JSONB_UTIL_H

#include "postgres.h"
#include "utils/jsonb.h"

/* Has any string in the container, at whatever depth, more than limit characters? */
extern bool jsonb_any_string_exceeds(JsonbContainer *container, int limit);

/*
 * Of an array or object, count members from number skip on; strings at whatever depth are cut to
 * length_limit characters, -1 being no limit.  *out is a tree that JsonbValueToJsonb() takes.
 */
extern void jsonb_copy_members(JsonbContainer *container, int skip, int count, int length_limit,
							   JsonbValue *out);

/*
 * An object with those of its outermost keys for which keep() is true, and their values; a new
 * value in CurrentMemoryContext.  One pass, where jsonb_delete() makes the whole object anew for
 * each key.
 */
extern Jsonb *jsonb_filter_keys(Jsonb *object, bool (*keep) (JsonbValue *key, void *arg),
								void *arg);

#endif
