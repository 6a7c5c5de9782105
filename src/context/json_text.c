/*
 * json_text.c: JSON as text, read in place.
 */
#include "context/json_text.h"

#include <string.h>

#include "context/hex.h"

#define MAX_DEPTH 1000

/* An escape becomes at most 4 bytes; the longest one, a surrogate pair, has 12. */
#define MAX_UTF8_LEN 4

/* Where the reader is, and the kinds of the objects and arrays around that place. */
typedef struct Reader
{
	const char *at;
	const char *end;
	int			depth;
	char		closing[MAX_DEPTH]; /* '}' or ']' */
} Reader;

static const char *
skip_space(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
		at++;
	return at;
}

static bool
is_digit(const char *at, const char *end)
{
	return at < end && *at >= '0' && *at <= '9';
}

static const char *
skip_digits(const char *at, const char *end)
{
	while (is_digit(at, end))
		at++;
	return at;
}

/* The value of four hex digits, or -1. */
static int
read_code_unit(const char *at, const char *end)
{
	int			unit = 0;

	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++)
	{
		int			digit = hex_value(at[i]);

		if (digit < 0)
			return -1;
		unit = unit << 4 | digit;
	}
	return unit;
}

/*
 * Each of the following skip_* functions returns the place after what it skips, or NULL if
 * something else is there.
 */

static const char *
skip_string(const char *at, const char *end)
{
	if (at == end || *at != '"')
		return NULL;
	for (at++; at < end; at++)
	{
		if (*at == '"')
			return at + 1;
		if ((unsigned char) *at < 0x20)
			return NULL;
		if (*at != '\\')
			continue;
		if (++at == end)
			return NULL;
		if (*at == 'u')
		{
			if (read_code_unit(at + 1, end) < 0)
				return NULL;
			at += 4;
		}
		else if (*at == '\0' || strchr("\"\\/bfnrt", *at) == NULL)
			return NULL;
	}
	return NULL;
}

static const char *
skip_number(const char *at, const char *end)
{
	if (at < end && *at == '-')
		at++;
	if (!is_digit(at, end))
		return NULL;
	at = *at == '0' ? at + 1 : skip_digits(at, end);
	if (at < end && *at == '.')
	{
		if (!is_digit(++at, end))
			return NULL;
		at = skip_digits(at, end);
	}
	if (at < end && (*at == 'e' || *at == 'E'))
	{
		at++;
		if (at < end && (*at == '+' || *at == '-'))
			at++;
		if (!is_digit(at, end))
			return NULL;
		at = skip_digits(at, end);
	}
	return at;
}

static const char *
skip_word(const char *at, const char *end, const char *word)
{
	size_t		len = strlen(word);

	return (size_t) (end - at) >= len && memcmp(at, word, len) == 0 ? at + len : NULL;
}

/* Skips a value that is not an object or an array. */
static const char *
skip_scalar(const char *at, const char *end)
{
	if (at == end)
		return NULL;
	switch (*at)
	{
		case '"':
			return skip_string(at, end);
		case 'n':
			return skip_word(at, end, "null");
		case 't':
			return skip_word(at, end, "true");
		case 'f':
			return skip_word(at, end, "false");
		default:
			return skip_number(at, end);
	}
}

/* Enters the object or array that begins here. */
static bool
descend(Reader *reader)
{
	if (reader->depth == MAX_DEPTH)
		return false;
	reader->closing[reader->depth++] = *reader->at++ == '{' ? '}' : ']';
	reader->at = skip_space(reader->at, reader->end);
	return true;
}

/* Inside an object, reads a member's key and the colon after it. */
static bool
read_key(Reader *reader)
{
	const char *at;

	if (reader->depth == 0 || reader->closing[reader->depth - 1] != '}')
		return true;
	at = skip_string(reader->at, reader->end);
	if (at == NULL)
		return false;
	at = skip_space(at, reader->end);
	if (at == reader->end || *at != ':')
		return false;
	reader->at = skip_space(at + 1, reader->end);
	return true;
}

/*
 * After a value: leaves the objects and arrays that end here, and skips a comma.  Sets *done when
 * the outermost value has ended.
 */
static bool
ascend(Reader *reader, bool *done)
{
	const char *at = reader->at;

	while (reader->depth > 0)
	{
		at = skip_space(at, reader->end);
		if (at == reader->end)
			return false;
		if (*at == ',')
		{
			reader->at = skip_space(at + 1, reader->end);
			return true;
		}
		if (*at != reader->closing[reader->depth - 1])
			return false;
		reader->depth--;
		at++;
	}
	reader->at = at;
	*done = true;
	return true;
}

/* Skips a value of any kind, without recursion. */
static const char *
skip_value(const char *at, const char *end)
{
	Reader		reader;
	bool		done = false;

	reader.at = at;
	reader.end = end;
	reader.depth = 0;
	while (!done)
	{
		bool		is_empty = false;

		if (!read_key(&reader))
			return NULL;
		while (!is_empty && reader.at < end && (*reader.at == '{' || *reader.at == '['))
		{
			if (!descend(&reader))
				return NULL;
			is_empty = reader.at < end && *reader.at == reader.closing[reader.depth - 1];
			if (!is_empty && !read_key(&reader))
				return NULL;
		}
		if (!is_empty)
		{
			reader.at = skip_scalar(reader.at, end);
			if (reader.at == NULL)
				return NULL;
		}
		if (!ascend(&reader, &done))
			return NULL;
	}
	return reader.at;
}

bool
json_text_read(const char *text, size_t len, JsonSlice *value)
{
	const char *end = text + len;
	const char *start = skip_space(text, end);
	const char *after = skip_value(start, end);

	if (after == NULL || skip_space(after, end) != end)
		return false;
	value->start = start;
	value->len = after - start;
	return true;
}

char
json_text_kind(JsonSlice value)
{
	char		first = value.start[0];

	return first == '-' || (first >= '0' && first <= '9') ? '0' : first;
}

/* The place of the next member or element, or NULL after the last. */
static const char *
next_place(JsonSlice container, const char *position)
{
	const char *end = container.start + container.len;
	const char *at = skip_space(position != NULL ? position : container.start + 1, end);

	if (position != NULL && *at == ',')
		return skip_space(at + 1, end);
	return *at == '}' || *at == ']' ? NULL : at;
}

bool
json_text_next_member(JsonSlice object, const char **position, JsonMember *member)
{
	const char *end = object.start + object.len;
	const char *at = next_place(object, *position);

	if (at == NULL)
		return false;
	member->key.start = at;
	at = skip_string(at, end);
	member->key.len = at - member->key.start;
	/* over the colon */
	at = skip_space(skip_space(at, end) + 1, end);
	member->value.start = at;
	*position = skip_value(at, end);
	member->value.len = *position - at;
	return true;
}

bool
json_text_next_element(JsonSlice array, const char **position, JsonSlice *element)
{
	const char *at = next_place(array, *position);

	if (at == NULL)
		return false;
	*position = skip_value(at, array.start + array.len);
	element->start = at;
	element->len = *position - at;
	return true;
}

static size_t
write_utf8(unsigned code, char *out)
{
	if (code < 0x80)
	{
		out[0] = (char) code;
		return 1;
	}
	if (code < 0x800)
	{
		out[0] = (char) (0xC0 | code >> 6);
		out[1] = (char) (0x80 | (code & 0x3F));
		return 2;
	}
	if (code < 0x10000)
	{
		out[0] = (char) (0xE0 | code >> 12);
		out[1] = (char) (0x80 | (code >> 6 & 0x3F));
		out[2] = (char) (0x80 | (code & 0x3F));
		return 3;
	}
	out[0] = (char) (0xF0 | code >> 18);
	out[1] = (char) (0x80 | (code >> 12 & 0x3F));
	out[2] = (char) (0x80 | (code >> 6 & 0x3F));
	out[3] = (char) (0x80 | (code & 0x3F));
	return 4;
}

/* Decodes a \u escape whose digits are at *at; moves *at behind all that it used. */
static size_t
unescape_code_point(const char **at, const char *end, char *out)
{
	unsigned	code = (unsigned) read_code_unit(*at, end);

	*at += 4;
	if (code >= 0xD800 && code < 0xDC00 && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u')
	{
		unsigned	low = (unsigned) read_code_unit(*at + 2, end);

		if (low >= 0xDC00 && low < 0xE000)
		{
			*at += 6;
			return write_utf8(0x10000 + ((code - 0xD800) << 10 | (low - 0xDC00)), out);
		}
	}
	if (code == 0 || (code >= 0xD800 && code < 0xE000))
		code = '?';
	return write_utf8(code, out);
}

/* Decodes one escape, or copies one byte, of a string; moves *at behind it. */
static size_t
unescape_one(const char **at, const char *end, char *out)
{
	static const char names[] = "bfnrt";
	static const char meanings[] = "\b\f\n\r\t";
	const char *name;
	char		c = *(*at)++;

	if (c != '\\')
	{
		out[0] = c;
		return 1;
	}
	c = *(*at)++;
	if (c == 'u')
		return unescape_code_point(at, end, out);
	name = strchr(names, c);
	out[0] = name != NULL ? meanings[name - names] : c;
	return 1;
}

size_t
json_text_unescape(JsonSlice string, char *out, size_t max)
{
	const char *at = string.start + 1;
	const char *end = string.start + string.len - 1;
	size_t		len = 0;

	while (at < end)
	{
		char		piece[MAX_UTF8_LEN];
		size_t		piece_len = unescape_one(&at, end, piece);

		if (piece_len > max - len)
			break;
		memcpy(out + len, piece, piece_len);
		len += piece_len;
	}
	return len;
}

static char
lower_ascii(char c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

bool
json_text_equals(JsonSlice string, const char *other, size_t len, bool ignore_case)
{
	const char *at = string.start + 1;
	const char *end = string.start + string.len - 1;
	size_t		matched = 0;

	while (at < end)
	{
		char		piece[MAX_UTF8_LEN];
		size_t		piece_len = unescape_one(&at, end, piece);

		if (len - matched < piece_len)
			return false;
		for (size_t i = 0; i < piece_len; i++, matched++)
			if (piece[i] != other[matched] &&
				!(ignore_case && lower_ascii(piece[i]) == lower_ascii(other[matched])))
				return false;
	}
	return matched == len;
}
