/*
 * jsonb_util.c: functions for jsonb that PostgreSQL does not have.
 *
 * A changed value is built as a tree of JsonbValues, not with pushJsonbValue(): that has other
 * parameters in PostgreSQL 19, and the keys, which come from an object, are already sorted and
 * distinct.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "jsonb_util.h"

/* A string has no more characters than bytes, so most need not be counted. */
static bool
string_exceeds(const JsonbValue *value, int limit)
{
	return value->val.string.len > limit &&
		pg_mbstrlen_with_len(value->val.string.val, value->val.string.len) > limit;
}

bool
jsonb_any_string_exceeds(JsonbContainer *container, int limit)
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

		jsonb_copy_members(container, 0, JsonContainerSize(container), length_limit, value);
	}
	else if (value->type == jbvString && length_limit >= 0 && string_exceeds(value, length_limit))
		value->val.string.len = pg_mbcharcliplen(value->val.string.val, value->val.string.len,
												 length_limit);
}

void
jsonb_copy_members(JsonbContainer *container, int skip, int count, int length_limit,
				   JsonbValue *out)
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

Jsonb *
jsonb_filter_keys(Jsonb *object, bool (*keep) (JsonbValue *key, void *arg), void *arg)
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
