/*
 * attribute_limits.c: OpenTelemetry's limits on the attributes of a span, an event or a link.
 *
 * The length limit holds for every string, also within arrays and objects; the count limit for the
 * outermost keys only.  What is within the limits, which is nearly everything, is never rebuilt.
 *
 * A changed value is put together as a tree of JsonbValues, not with pushJsonbValue(): its arguments are
 * others in PostgreSQL 19, and the keys, being some of an object's, are sorted and distinct already.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "spans/attribute_limits.h"

static void copy_within_limits(JsonbContainer *container, int skip, int count, int length_limit,
							   JsonbValue *out);

/* A string of fewer bytes has no more characters, which spares counting them. */
static bool
string_exceeds(const JsonbValue *value, int limit)
{
	return value->val.string.len > limit &&
		pg_mbstrlen_with_len(value->val.string.val, value->val.string.len) > limit;
}

/* Is any string in the container too long? */
static bool
any_string_exceeds(JsonbContainer *container, int limit)
{
	JsonbIterator *it = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
		if ((token == WJB_VALUE || token == WJB_ELEM) && value.type == jbvString &&
			string_exceeds(&value, limit))
			return true;
	return false;
}

static void
value_within_limit(JsonbValue *value, int length_limit)
{
	if (value->type == jbvBinary)
	{
		JsonbContainer *container = value->val.binary.data;

		copy_within_limits(container, 0, JsonContainerSize(container), length_limit, value);
	}
	else if (value->type == jbvString && length_limit >= 0 && string_exceeds(value, length_limit))
		value->val.string.len = pg_mbcharcliplen(value->val.string.val, value->val.string.len,
												 length_limit);
}

/* Of an array or object, count members from number skip on, their strings cut. */
static void
copy_within_limits(JsonbContainer *container, int skip, int count, int length_limit, JsonbValue *out)
{
	JsonbIterator *it = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue	value;
	int			member = -skip;

	check_stack_depth();
	if (JsonContainerIsObject(container))
	{
		out->type = jbvObject;
		out->val.object.nPairs = count;
		out->val.object.pairs = palloc(sizeof(JsonbPair) * Max(count, 1));
	}
	else
	{
		out->type = jbvArray;
		out->val.array.nElems = count;
		out->val.array.rawScalar = false;
		out->val.array.elems = palloc(sizeof(JsonbValue) * Max(count, 1));
	}

	while (member < count && (token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		JsonbValue *dest;

		if (token == WJB_KEY)
		{
			if (member >= 0)
			{
				out->val.object.pairs[member].key = value;
				out->val.object.pairs[member].order = member;
			}
			continue;
		}
		if (token != WJB_VALUE && token != WJB_ELEM)
			continue;
		if (member >= 0)
		{
			dest = token == WJB_VALUE ? &out->val.object.pairs[member].value :
				&out->val.array.elems[member];
			*dest = value;
			value_within_limit(dest, length_limit);
		}
		member++;
	}
}

/* An empty key is the shortest there is, so it comes first. */
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
	if (*dropped == 0 && (value_length_limit < 0 || !any_string_exceeds(root, value_length_limit)))
		return attrs;

	copy_within_limits(root, skip, count, value_length_limit, &limited);
	return JsonbValueToJsonb(&limited);
}

Jsonb *
attributes_filter(Jsonb *object, bool (*keep) (JsonbValue *key, void *arg), void *arg)
{
	JsonbIterator *it = JsonbIteratorInit(&object->root);
	JsonbIteratorToken token;
	JsonbValue	item;
	JsonbValue	kept;
	bool		keep_next = false;

	kept.type = jbvObject;
	kept.val.object.nPairs = 0;
	kept.val.object.pairs = palloc0(sizeof(JsonbPair) * Max(JB_ROOT_COUNT(object), 1));
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		JsonbPair  *pair = &kept.val.object.pairs[kept.val.object.nPairs];

		if (token == WJB_KEY && (keep_next = keep(&item, arg)))
			pair->key = item;
		else if (token == WJB_VALUE && keep_next)
		{
			pair->value = item;
			value_within_limit(&pair->value, -1);
			kept.val.object.nPairs++;
		}
	}
	return JsonbValueToJsonb(&kept);
}

/* The old object, and how many keys that it does not have there is still room for. */
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
attributes_merge(Jsonb *old, Jsonb *attributes, int count_limit, int value_length_limit, int *dropped)
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
		attributes = attributes_filter(attributes, has_room, &room);
	*dropped += room.dropped;
	return DatumGetJsonbPCopy(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(old),
												  JsonbPGetDatum(attributes)));
}

Jsonb *
attributes_from_strings(int n, const char *const *keys, const char *const *values)
{
	Datum	   *texts = palloc(2 * n * sizeof(Datum));
	int			ntexts = 0;

	for (int i = 0; i < n; i++)
	{
		if (values[i] == NULL)
			continue;
		texts[ntexts++] = CStringGetTextDatum(keys[i]);
		texts[ntexts++] = CStringGetTextDatum(values[i]);
	}
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_object,
											  PointerGetDatum(construct_array(texts, ntexts, TEXTOID,
																			  -1, false, TYPALIGN_INT))));
}
