/*
 * attribute_limits.c: OpenTelemetry's limits on the attributes of a span, an event or a link.
 *
 * The length limit applies to every string, also within arrays and objects; the count limit only to
 * the outermost keys.  Attributes within the limits, as nearly all are, are not rebuilt.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "jsonb_util.h"
#include "spans/attribute_limits.h"

/* jsonb sorts shorter keys first, so an empty key is the first. */
static bool
first_key_is_empty(JsonbContainer *object)
{
	return JsonContainerSize(object) > 0 && getJsonbLength(object, 0) == 0;
}

Jsonb *
attributes_apply_limits(Jsonb *attrs, int count_limit, int value_length_limit, int *dropped)
{
	JsonbContainer *root;
	JsonbValue	limited;
	int			nkeys;
	int			skip;
	int			count;

	*dropped = 0;
	if (attrs == NULL)
		return NULL;

	root = &attrs->root;
	nkeys = JsonContainerSize(root);
	skip = first_key_is_empty(root) ? 1 : 0;
	count = count_limit >= 0 ? Min(nkeys - skip, count_limit) : nkeys - skip;
	*dropped = nkeys - count;
	if (*dropped == 0 &&
		(value_length_limit < 0 || !jsonb_any_string_exceeds(root, value_length_limit)))
		return attrs;

	jsonb_copy_members(root, skip, count, value_length_limit, &limited);
	return JsonbValueToJsonb(&limited);
}

/* The old object, and how many new keys there is still room for. */
typedef struct MergeRoom
{
	Jsonb	   *old;
	int			left;
	int			dropped;
} MergeRoom;

static bool
has_room(JsonbValue *key, void *arg)
{
	MergeRoom  *room = arg;
	bool		keep = findJsonbValueFromContainer(&room->old->root, JB_FOBJECT, key) != NULL ||
		room->left-- > 0;

	room->dropped += keep ? 0 : 1;
	return keep;
}

Jsonb *
attributes_merge(Jsonb *old, Jsonb *attributes, int count_limit, int value_length_limit,
				 int *dropped)
{
	MergeRoom	room = {.old = old};
	int			ndropped;

	attributes = attributes_apply_limits(attributes, old ? -1 : count_limit, value_length_limit,
										 &ndropped);
	*dropped += ndropped;
	if (old == NULL)
		return DatumGetJsonbPCopy(JsonbPGetDatum(attributes));

	room.left = count_limit - (int) JB_ROOT_COUNT(old);
	if (count_limit >= 0 && (int) JB_ROOT_COUNT(attributes) > room.left)
		attributes = jsonb_filter_keys(attributes, has_room, &room);
	*dropped += room.dropped;
	return DatumGetJsonbPCopy(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(old),
												  JsonbPGetDatum(attributes)));
}

Jsonb *
attributes_from_strings(int n, const char *const *keys, const char *const *values)
{
	Datum	   *texts = palloc(2 * n * sizeof(Datum));
	int			ntexts = 0;
	ArrayType  *array;

	for (int i = 0; i < n; i++)
	{
		if (values[i] == NULL)
			continue;
		texts[ntexts++] = CStringGetTextDatum(keys[i]);
		texts[ntexts++] = CStringGetTextDatum(values[i]);
	}
	array = construct_array(texts, ntexts, TEXTOID, -1, false, TYPALIGN_INT);
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_object, PointerGetDatum(array)));
}
