/*
 * response.c: reading what a collector answers.
 */
#include <string.h>

#include "exporter/response.h"

/* JSON nested deeper than this is refused: the reader recurses. */
#define MAX_DEPTH 32

typedef struct Reader
{
	const unsigned char *p;
	const unsigned char *end;
} Reader;

/*
 * Copies a string, cut to what fits, with control characters as spaces and no half character at
 * its end.
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

/* The next field; false at the end (r->p == r->end) and at what is malformed (elsewhere). */
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

static void
json_space(Reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r'))
		r->p++;
}

static bool
json_char(Reader *r, char c)
{
	json_space(r);
	if (r->p == r->end || *r->p != (unsigned char) c)
		return false;
	r->p++;
	return true;
}

/* A string; *content is what stands between its quotes, escapes as they are. */
static bool
json_string(Reader *r, Reader *content)
{
	if (!json_char(r, '"'))
		return false;
	content->p = r->p;
	while (r->p < r->end && *r->p != '"')
	{
		if (*r->p == '\\' && r->end - r->p < 2)
			return false;
		r->p += *r->p == '\\' ? 2 : 1;
	}
	if (r->p == r->end)
		return false;
	content->end = r->p++;
	return true;
}

/* A number, true, false or null; *content is its bytes. */
static bool
json_word(Reader *r, Reader *content)
{
	json_space(r);
	content->p = r->p;
	while (r->p < r->end &&
		   ((*r->p >= '0' && *r->p <= '9') || (*r->p >= 'a' && *r->p <= 'z') ||
			*r->p == 'E' || *r->p == '.' || *r->p == '+' || *r->p == '-'))
		r->p++;
	content->end = r->p;
	return content->end > content->p;
}

typedef struct JsonValue
{
	char		type;			/* one of { [ " and w (a word) */
	Reader		bytes;			/* all of a container, the content of a string, a word */
} JsonValue;

static bool json_members(Reader *r, char close, int depth);

static bool
json_value(Reader *r, JsonValue *value, int depth)
{
	json_space(r);
	if (depth == 0 || r->p == r->end)
		return false;
	value->type = (char) *r->p;
	switch (value->type)
	{
		case '"':
			return json_string(r, &value->bytes);
		case '{':
		case '[':
			value->bytes.p = r->p++;
			if (!json_members(r, value->type == '{' ? '}' : ']', depth - 1))
				return false;
			value->bytes.end = r->p;
			return true;
		default:
			value->type = 'w';
			return json_word(r, &value->bytes);
	}
}

/*
 * Reads on in an object or list that has been opened: the next member's key (of an object) and
 * value. False when it has been closed, with *closed set, or is malformed.  *first is true before
 * the first.
 */
static bool
json_next(Reader *r, char close, bool *first, bool *closed, Reader *key, JsonValue *value,
		  int depth)
{
	*closed = json_char(r, close);
	if (*closed || (!*first && !json_char(r, ',')))
		return false;
	*first = false;
	if (close == '}' && !(json_string(r, key) && json_char(r, ':')))
		return false;
	return json_value(r, value, depth);
}

/* The rest of a container that nobody wants. */
static bool
json_members(Reader *r, char close, int depth)
{
	bool		first = true;
	bool		closed;
	Reader		key;
	JsonValue	value;

	while (json_next(r, close, &first, &closed, &key, &value, depth))
		;
	return closed;
}

static bool
json_key_is(const Reader *key, const char *camel, const char *snake)
{
	size_t		len = key->end - key->p;

	return (len == strlen(camel) && memcmp(key->p, camel, len) == 0) ||
		(len == strlen(snake) && memcmp(key->p, snake, len) == 0);
}

/* proto3's JSON has 64-bit integers as strings; numbers are taken as well. */
static int64_t
json_integer(const JsonValue *value)
{
	int64_t		n = 0;

	if (value->type != '"' && value->type != 'w')
		return 0;
	for (const unsigned char *p = value->bytes.p; p < value->bytes.end; p++)
	{
		if (*p < '0' || *p > '9' || n > (INT64_MAX - 9) / 10)
			return 0;
		n = n * 10 + (*p - '0');
	}
	return n;
}

/*
 * A \u escape's character as UTF-8; what is no character of the basic plane becomes a question
 * mark.
 */
static size_t
json_unescape_unicode(const unsigned char *hex, size_t len, unsigned char *out)
{
	unsigned	c = 0;

	for (size_t i = 0; i < 4; i++)
	{
		const char *digits = "0123456789abcdef";
		const char *digit = i < len && hex[i] ? strchr(digits, hex[i] | 0x20) : NULL;

		c = digit ? c * 16 + (unsigned) (digit - digits) : 0xd800;
		if (digit == NULL)
			break;
	}
	if (c >= 0xd800 && c <= 0xdfff)
		c = '?';
	if (c < 0x80)
	{
		out[0] = (unsigned char) c;
		return 1;
	}
	if (c < 0x800)
	{
		out[0] = (unsigned char) (0xc0 | c >> 6);
		out[1] = (unsigned char) (0x80 | (c & 0x3f));
		return 2;
	}
	out[0] = (unsigned char) (0xe0 | c >> 12);
	out[1] = (unsigned char) (0x80 | (c >> 6 & 0x3f));
	out[2] = (unsigned char) (0x80 | (c & 0x3f));
	return 3;
}

static void
json_message(const JsonValue *value, char *message)
{
	unsigned char text[RESPONSE_MESSAGE_SIZE + 4];
	size_t		len = 0;
	const unsigned char *p = value->bytes.p;

	if (value->type != '"')
		return;
	while (p < value->bytes.end && len < RESPONSE_MESSAGE_SIZE)
	{
		if (*p != '\\')
			text[len++] = *p++;
		else if (p[1] == 'u')
		{
			size_t		left = value->bytes.end - (p + 2);

			len += json_unescape_unicode(p + 2, left, text + len);
			p += 2 + (left < 4 ? left : 4);
		}
		else
		{
			/* \b, \f, \n, \r and \t are white space to a reader of one line */
			text[len++] = strchr("bfnrt", p[1]) && p[1] ? ' ' : p[1];
			p += 2;
		}
	}
	copy_message(message, text, len);
}

static void
json_read_partial_success(Reader r, Response *response)
{
	bool		first = true;
	bool		closed;
	Reader		key;
	JsonValue	value;

	r.p++;						/* the opening brace; the object is known to be well formed */
	while (json_next(&r, '}', &first, &closed, &key, &value, MAX_DEPTH))
	{
		if (json_key_is(&key, "rejectedSpans", "rejected_spans"))
			response->rejected_spans = json_integer(&value);
		else if (json_key_is(&key, "errorMessage", "error_message"))
			json_message(&value, response->message);
	}
}

/* Finds a member of the object that is the whole of r.  False when r is no JSON object. */
static bool
json_find(Reader r, const char *camel, const char *snake, JsonValue *found)
{
	bool		first = true;
	bool		closed;
	Reader		key;
	JsonValue	value;

	found->type = '\0';
	if (!json_char(&r, '{'))
		return false;
	while (json_next(&r, '}', &first, &closed, &key, &value, MAX_DEPTH))
	{
		if (json_key_is(&key, camel, snake))
			*found = value;
	}
	json_space(&r);
	return closed && r.p == r.end;
}

/* ---- both ---- */

bool
response_read_success(const char *body, size_t len, bool json, Response *response)
{
	Reader		r = {(const unsigned char *) body, (const unsigned char *) body + len};
	PbField		field;
	JsonValue	value;
	bool		valid = true;

	memset(response, 0, sizeof(*response));
	if (len == 0)
		return true;
	if (json)
	{
		valid = json_find(r, "partialSuccess", "partial_success", &value);
		if (valid && value.type == '{')
			json_read_partial_success(value.bytes, response);
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
	JsonValue	value;

	memset(response, 0, sizeof(*response));
	if (len == 0)
		return;
	if (json)
	{
		if (json_find(r, "message", "message", &value))
			json_message(&value, response->message);
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
