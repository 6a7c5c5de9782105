/*
 * response.c: reading what a collector answers.
 */
#include <string.h>

#include "context/json_text.h"
#include "exporter/response.h"

typedef struct Reader
{
	const unsigned char *p;
	const unsigned char *end;
} Reader;

/*
 * Copies a string, cut to what fits, but not within a character; control characters become spaces.
 */
static void
copy_message(char *out, const unsigned char *s, size_t len)
{
	if (len > RESPONSE_MESSAGE_SIZE - 1)
	{
		len = RESPONSE_MESSAGE_SIZE - 1;
		while (len > 0 && (s[len] & 0xc0) == 0x80)
			len--;
	}
	for (size_t i = 0; i < len; i++)
		out[i] = s[i] < 0x20 || s[i] == 0x7f ? ' ' : (char) s[i];
	out[len] = '\0';
}

/* ---- Protocol Buffers ---- */

static bool
pb_read_varint(Reader *r, uint64_t *value)
{
	*value = 0;
	for (int shift = 0; shift < 64 && r->p < r->end; shift += 7)
	{
		unsigned char byte = *r->p++;

		*value |= (uint64_t) (byte & 0x7f) << shift;
		if (byte < 0x80)
			return true;
	}
	return false;
}

typedef struct PbField
{
	uint64_t	number;
	int			type;
	uint64_t	value;			/* of a varint */
	Reader		bytes;			/* of a length-delimited field */
} PbField;

/* The next field; false at the end (r->p == r->end) or where it is malformed (elsewhere). */
static bool
pb_next(Reader *r, PbField *field)
{
	const unsigned char *start = r->p;
	uint64_t	tag;
	uint64_t	skip = 0;

	if (r->p == r->end || !pb_read_varint(r, &tag))
		return false;
	field->number = tag >> 3;
	field->type = tag & 7;
	field->value = 0;
	switch (field->type)
	{
		case 0:
			if (pb_read_varint(r, &field->value) && field->number > 0)
				return true;
			r->p = start;
			return false;
		case 1:
			skip = 8;
			break;
		case 2:
			if (!pb_read_varint(r, &skip))
				skip = UINT64_MAX;
			break;
		case 5:
			skip = 4;
			break;
		default:
			skip = UINT64_MAX;
			break;
	}
	if (field->number == 0 || skip > (uint64_t) (r->end - r->p))
	{
		r->p = start;
		return false;
	}
	field->bytes.p = r->p;
	field->bytes.end = r->p += skip;
	return true;
}

static bool
pb_read_partial_success(Reader r, Response *response)
{
	PbField		field;

	while (pb_next(&r, &field))
	{
		if (field.number == 1 && field.type == 0)
			response->rejected_spans = (int64_t) field.value;
		else if (field.number == 2 && field.type == 2)
			copy_message(response->message, field.bytes.p, field.bytes.end - field.bytes.p);
	}
	return r.p == r.end;
}

/* ---- JSON ---- */

static bool
json_key_is(const JsonMember *member, const char *camel, const char *snake)
{
	return json_text_equals(member->key, camel, strlen(camel), false) ||
		json_text_equals(member->key, snake, strlen(snake), false);
}

/* proto3's JSON writes 64-bit integers as strings; numbers are accepted as well. */
static int64_t
json_integer(JsonSlice value)
{
	int			quote = json_text_kind(value) == '"';
	int64_t		n = 0;

	for (size_t i = quote; i < value.len - quote; i++)
	{
		char		c = value.start[i];

		if (c < '0' || c > '9' || n > (INT64_MAX - 9) / 10)
			return 0;
		n = n * 10 + (c - '0');
	}
	return n;
}

static void
json_message(JsonSlice value, char *message)
{
	char		text[RESPONSE_MESSAGE_SIZE];

	if (json_text_kind(value) == '"')
		copy_message(message, (unsigned char *) text,
					 json_text_unescape(value, text, sizeof(text)));
}

static void
json_read_partial_success(JsonSlice object, Response *response)
{
	const char *position = NULL;
	JsonMember	member;

	while (json_text_next_member(object, &position, &member))
	{
		if (json_key_is(&member, "rejectedSpans", "rejected_spans"))
			response->rejected_spans = json_integer(member.value);
		else if (json_key_is(&member, "errorMessage", "error_message"))
			json_message(member.value, response->message);
	}
}

/*
 * Finds a member of the object that is the whole body; *found has no start when there is none.
 * False when the body is not a JSON object.
 */
static bool
json_find(const char *body, size_t len, const char *camel, const char *snake, JsonSlice *found)
{
	const char *position = NULL;
	JsonSlice	object;
	JsonMember	member;

	*found = (JsonSlice) {NULL, 0};
	if (!json_text_read(body, len, &object) || json_text_kind(object) != '{')
		return false;
	while (json_text_next_member(object, &position, &member))
	{
		if (json_key_is(&member, camel, snake))
			*found = member.value;
	}
	return true;
}

/* ---- both ---- */

bool
response_read_success(const char *body, size_t len, bool json, Response *response)
{
	Reader		r = {(const unsigned char *) body, (const unsigned char *) body + len};
	PbField		field;
	JsonSlice	value;
	bool		valid = true;

	memset(response, 0, sizeof(*response));
	if (len == 0)
		return true;
	if (json)
	{
		valid = json_find(body, len, "partialSuccess", "partial_success", &value);
		if (value.start != NULL && json_text_kind(value) == '{')
			json_read_partial_success(value, response);
		return valid;
	}
	while (valid && pb_next(&r, &field))
	{
		if (field.number == 1 && field.type == 2)
			valid = pb_read_partial_success(field.bytes, response);
	}
	return valid && r.p == r.end;
}

void
response_read_error(const char *body, size_t len, bool json, Response *response)
{
	Reader		r = {(const unsigned char *) body, (const unsigned char *) body + len};
	PbField		field;
	JsonSlice	value;

	memset(response, 0, sizeof(*response));
	if (len == 0)
		return;
	if (json)
	{
		if (json_find(body, len, "message", "message", &value) && value.start != NULL)
			json_message(value, response->message);
		return;
	}
	while (pb_next(&r, &field))
	{
		if (field.number == 2 && field.type == 2)
			copy_message(response->message, field.bytes.p, field.bytes.end - field.bytes.p);
	}
	if (r.p != r.end)
		response->message[0] = '\0';
}
