/*
 * key_values.c: jsonb as OTLP attributes (common.proto's KeyValue and AnyValue).
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "exporter/otlp/key_values.h"
#include "exporter/otlp/fields.h"
#include "exporter/otlp/utf8.h"

/*
 * OpenTelemetry suggests a limit of 64.  Readers of Protocol Buffers refuse messages nested more
 * than 100 deep.  A JSON object takes three levels (AnyValue, KeyValueList, KeyValue), and about 93
 * are left within a link's attribute.  A value nested deeper is sent as its JSON text.
 */
#define MAX_DEPTH 24

static void put_value(Writer *w, const JsonbValue *value, int depth);

/* Is it the text of an integer that fits into an int64? */
static bool
parse_int64(const char *text, int64 *result)
{
	bool		negative = *text == '-';
	uint64		magnitude = 0;
	uint64		limit = (uint64) PG_INT64_MAX + negative;

	for (text += negative; *text; text++)
	{
		unsigned	digit = (unsigned char) *text - '0';

		if (digit > 9 || magnitude > (limit - digit) / 10)
			return false;
		magnitude = magnitude * 10 + digit;
	}
	*result = negative ? (int64) (0 - magnitude) : (int64) magnitude;
	return true;
}

static void
put_number(Writer *w, Numeric number)
{
	char	   *text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
	double		value = strtod(text, NULL);
	int64		integer;

	if (parse_int64(text, &integer))
		put_int64(w, ANY_VALUE_INT, integer);
	else if (strchr(text, '.') == NULL || isinf(value))
		put_string_always(w, ANY_VALUE_STRING, text, strlen(text));
	else
		put_double(w, ANY_VALUE_DOUBLE, value, text);
	pfree(text);
}

static void
put_text_value(Writer *w, const char *s, int len)
{
	if (utf8_convert(&s, &len))
		put_string_always(w, ANY_VALUE_STRING, s, len);
	else
		put_bytes(w, ANY_VALUE_BYTES, s, len);
}

/* Writes the members of an object as a list of KeyValues. */
static void
put_members(Writer *w, Field f, JsonbContainer *object, int depth)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	begin_list(w, f);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		const char *name;
		int			len;
		size_t		item;
		size_t		any;

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		name = key.val.string.val;
		len = key.val.string.len;
		if (len == 0)
			continue;
		utf8_convert_key(&name, &len);
		item = begin_item(w, f);
		put_string_always(w, KEY_VALUE_KEY, name, len);
		any = begin_message(w, KEY_VALUE_VALUE);
		put_value(w, &value, depth);
		end_message(w, any);
		end_message(w, item);
	}
	end_list(w);
}

static void
put_elements(Writer *w, JsonbContainer *array, int depth)
{
	JsonbIterator *it = JsonbIteratorInit(array);
	JsonbIteratorToken token;
	JsonbValue	value;

	begin_list(w, VALUES);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		size_t		any;

		if (token != WJB_ELEM)
			continue;
		any = begin_item(w, VALUES);
		put_value(w, &value, depth);
		end_message(w, any);
	}
	end_list(w);
}

static void
put_container(Writer *w, const JsonbValue *value, int depth)
{
	JsonbContainer *container = value->val.binary.data;
	size_t		start;

	if (depth > MAX_DEPTH)
	{
		char	   *text = JsonbToCString(NULL, container, value->val.binary.len);

		put_text_value(w, text, strlen(text));
	}
	else if (JsonContainerIsObject(container))
	{
		start = begin_message(w, ANY_VALUE_KVLIST);
		put_members(w, VALUES, container, depth);
		end_message(w, start);
	}
	else
	{
		start = begin_message(w, ANY_VALUE_ARRAY);
		put_elements(w, container, depth);
		end_message(w, start);
	}
}

/* Writes the content of an AnyValue.  An empty one is OTLP's null. */
static void
put_value(Writer *w, const JsonbValue *value, int depth)
{
	switch (value->type)
	{
		case jbvString:
			put_text_value(w, value->val.string.val, value->val.string.len);
			break;
		case jbvNumeric:
			put_number(w, value->val.numeric);
			break;
		case jbvBool:
			put_bool(w, ANY_VALUE_BOOL, value->val.boolean);
			break;
		case jbvBinary:
			put_container(w, value, depth + 1);
			break;
		default:				/* jbvNull; the other kinds are never stored */
			break;
	}
}

void
put_attributes(Writer *w, Field f, Jsonb *attributes)
{
	if (JB_ROOT_IS_OBJECT(attributes) && JB_ROOT_COUNT(attributes) > 0)
		put_members(w, f, &attributes->root, 0);
}

void
put_string_attribute(Writer *w, Field f, const char *key, const char *value)
{
	size_t		item = begin_item(w, f);
	size_t		any;

	put_string_always(w, KEY_VALUE_KEY, key, strlen(key));
	any = begin_message(w, KEY_VALUE_VALUE);
	put_string_always(w, ANY_VALUE_STRING, value, strlen(value));
	end_message(w, any);
	end_message(w, item);
}
