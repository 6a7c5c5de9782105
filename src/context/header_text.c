/*
 * header_text.c: the headers traceparent and tracestate in JSON text and in java.util.Properties.
 */
#include "context/header_text.h"

#include <string.h>

#define TRACEPARENT "traceparent"
#define TRACESTATE "tracestate"

/* What has been found of a header so far. */
typedef struct Found
{
	int			names;
	bool		unusable;
	JsonSlice	value;
} Found;

typedef struct Reading
{
	char	   *room;			/* where the next decoded value goes */
	Found		traceparent;
	Found		tracestate;
} Reading;

/* Where the next byte is written. */
typedef struct Output
{
	char	   *at;
} Output;

static bool
is_header(JsonSlice key)
{
	return json_text_equals(key, TRACEPARENT, strlen(TRACEPARENT), true) ||
		json_text_equals(key, TRACESTATE, strlen(TRACESTATE), true);
}

/* Returns how many members of an object have this key; *value is that of the last. */
static int
find_key(JsonSlice object, JsonSlice key, JsonSlice *value)
{
	const char *position = NULL;
	JsonMember	member;
	int			matches = 0;

	while (json_text_next_member(object, &position, &member))
		if (json_text_equals(member.key, key.start, key.len, false))
		{
			*value = member.value;
			matches++;
		}
	return matches;
}

bool
header_text_find(JsonSlice value, const HeaderPath *path, JsonSlice *found)
{
	for (int i = 0; i < path->depth; i++)
		if (json_text_kind(value) != '{' || find_key(value, path->keys[i], &value) != 1)
			return false;
	*found = value;
	return true;
}

/*
 * Reading
 */

/* Decodes a string, or an array of strings, joined by commas; *count is their number. */
static bool
decode_strings(JsonSlice value, char *out, size_t *len, int *count)
{
	const char *position = NULL;
	JsonSlice	element;

	*len = 0;
	*count = 0;
	if (json_text_kind(value) == '"')
	{
		*len = json_text_unescape(value, out, value.len);
		*count = 1;
		return true;
	}
	if (json_text_kind(value) != '[')
		return false;
	while (json_text_next_element(value, &position, &element))
	{
		if (json_text_kind(element) != '"')
			return false;
		if ((*count)++ > 0)
			out[(*len)++] = ',';
		*len += json_text_unescape(element, out + *len, element.len);
	}
	return true;
}

static void
set_found(Reading *reading, Found *found, size_t len)
{
	found->value.start = reading->room;
	found->value.len = len;
	reading->room += len;
}

static void
read_member(Reading *reading, JsonSlice key, JsonSlice value)
{
	size_t		len;
	int			count;

	if (json_text_equals(key, TRACEPARENT, strlen(TRACEPARENT), true))
	{
		reading->traceparent.names++;
		if (decode_strings(value, reading->room, &len, &count) && count == 1)
			set_found(reading, &reading->traceparent, len);
	}
	else if (json_text_equals(key, TRACESTATE, strlen(TRACESTATE), true))
	{
		reading->tracestate.names++;
		if (decode_strings(value, reading->room, &len, &count))
			set_found(reading, &reading->tracestate, len);
	}
}

/* A header that occurs twice is not used, because nobody knows which one is right. */
static void
finish_reading(const Reading *reading, HeaderPair *headers)
{
	memset(headers, 0, sizeof(*headers));
	if (reading->traceparent.names == 1)
		headers->traceparent = reading->traceparent.value;
	if (reading->tracestate.names == 1)
		headers->tracestate = reading->tracestate.value;
}

/* Reads [name, value]; the name must be a string. */
static void
read_pair(Reading *reading, JsonSlice pair)
{
	const char *position = NULL;
	JsonSlice	key;
	JsonSlice	value;
	JsonSlice	more;

	if (json_text_kind(pair) == '[' &&
		json_text_next_element(pair, &position, &key) && json_text_kind(key) == '"' &&
		json_text_next_element(pair, &position, &value) &&
		!json_text_next_element(pair, &position, &more))
		read_member(reading, key, value);
}

void
header_text_read_json(JsonSlice value, char *room, HeaderPair *headers)
{
	Reading		reading = {.room = room};
	const char *position = NULL;
	JsonMember	member;
	JsonSlice	element;

	if (json_text_kind(value) == '{')
	{
		while (json_text_next_member(value, &position, &member))
			read_member(&reading, member.key, member.value);
	}
	else if (json_text_kind(value) == '[')
	{
		while (json_text_next_element(value, &position, &element))
			read_pair(&reading, element);
	}
	finish_reading(&reading, headers);
}

/*
 * java.util.Properties: lines of a key, "=", ":" or white space, and a value.  A backslash escapes
 * the character after it; at the end of a line, it joins the next line to it.
 */

static bool
is_property_space(char c)
{
	return c == ' ' || c == '\t' || c == '\f';
}

static bool
is_line_end(char c)
{
	return c == '\n' || c == '\r';
}

/*
 * Reads one character of a key or value, at a place that is not the end of a line.  False when
 * there is none: a line is continued, or a last backslash escapes nothing.
 */
static bool
read_property_char(const char **at, const char *end, char *out, bool *escaped)
{
	char		c = *(*at)++;

	*escaped = false;
	if (c != '\\' || *at == end)
	{
		*out = c;
		return c != '\\';
	}
	c = *(*at)++;
	if (is_line_end(c))
	{
		/* the line goes on after the white space of the next one */
		if (c == '\r' && *at < end && **at == '\n')
			(*at)++;
		while (*at < end && is_property_space(**at))
			(*at)++;
		return false;
	}
	*escaped = true;
	*out = c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c == 'f' ? '\f' : c;
	/* \uXXXX is not decoded: a valid header has no characters that need it */
	return true;
}

/* Decodes a line into out: the key, and right after it the value. */
static const char *
read_property(const char *at, const char *end, char *out, size_t *key_len, size_t *len)
{
	bool		separated = false;
	char		c;
	bool		escaped;

	*key_len = 0;
	*len = 0;
	while (at < end && !is_line_end(*at))
	{
		if (!read_property_char(&at, end, &c, &escaped))
			continue;
		if (!separated && !escaped && (c == '=' || c == ':' || is_property_space(c)))
		{
			bool		has_sign = !is_property_space(c);

			separated = true;
			*key_len = *len;
			while (at < end &&
				   (is_property_space(*at) || (!has_sign && (*at == '=' || *at == ':'))))
				has_sign |= !is_property_space(*at++);
			continue;
		}
		out[(*len)++] = c;
	}
	if (!separated)
		*key_len = *len;
	return at;
}

static bool
name_is(const char *name, size_t len, const char *header)
{
	if (len != strlen(header))
		return false;
	for (size_t i = 0; i < len; i++)
	{
		char		c = name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i];

		if (c != header[i])
			return false;
	}
	return true;
}

void
header_text_read_properties(const char *text, size_t len, char *room, HeaderPair *headers)
{
	Reading		reading = {.room = room};
	const char *end = text + len;
	const char *at = text;

	while (at < end)
	{
		Found	   *found = NULL;
		size_t		key_len;
		size_t		line_len;

		if (is_line_end(*at) || is_property_space(*at))
		{
			at++;
			continue;
		}
		if (*at == '#' || *at == '!')
		{
			while (at < end && !is_line_end(*at))
				at++;
			continue;
		}
		at = read_property(at, end, reading.room, &key_len, &line_len);
		if (name_is(reading.room, key_len, TRACEPARENT))
			found = &reading.traceparent;
		else if (name_is(reading.room, key_len, TRACESTATE))
			found = &reading.tracestate;
		if (found == NULL)
			continue;
		found->names++;
		reading.room += key_len;
		set_found(&reading, found, line_len - key_len);
	}
	finish_reading(&reading, headers);
}

/*
 * Writing
 */

static void
write_bytes(Output *output, const char *start, size_t len)
{
	memcpy(output->at, start, len);
	output->at += len;
}

static void
write_char(Output *output, char c)
{
	*output->at++ = c;
}

/* Writes new objects for the rest of a path; the innermost one has the members. */
static void
write_new(Output *output, const HeaderPath *path, int level, JsonSlice members)
{
	for (int i = level; i < path->depth; i++)
	{
		write_char(output, '{');
		write_bytes(output, path->quoted[i].start, path->quoted[i].len);
		write_char(output, ':');
	}
	write_char(output, '{');
	write_bytes(output, members.start, members.len);
	for (int i = level; i <= path->depth; i++)
		write_char(output, '}');
}

/*
 * Writes the object's text up to its last member, and a comma if there is one.  Returns the place
 * after the last member.
 */
static const char *
write_members(Output *output, JsonSlice object)
{
	const char *position = NULL;
	const char *last = object.start + 1;
	JsonMember	member;

	while (json_text_next_member(object, &position, &member))
		last = position;
	write_bytes(output, object.start, last - object.start);
	if (position != NULL)
		write_char(output, ',');
	return last;
}

/* Writes the object, with its headers replaced by the members. */
static void
write_merged(Output *output, JsonSlice object, JsonSlice members)
{
	const char *end = object.start + object.len;
	const char *position = NULL;
	bool		has_headers = false;
	JsonMember	member;

	while (!has_headers && json_text_next_member(object, &position, &member))
		has_headers = is_header(member.key);
	if (!has_headers)
	{
		const char *last = write_members(output, object);

		write_bytes(output, members.start, members.len);
		write_bytes(output, last, end - last);
		return;
	}

	write_char(output, '{');
	position = NULL;
	while (json_text_next_member(object, &position, &member))
		if (!is_header(member.key))
		{
			write_bytes(output, member.key.start, position - member.key.start);
			write_char(output, ',');
		}
	write_bytes(output, members.start, members.len);
	write_char(output, '}');
}

/*
 * Follows a path as far as it exists.  Writes the text before the value there, the changed value,
 * and the text after it.
 */
static bool
write_along(Output *output, JsonSlice root, const HeaderPath *path, JsonSlice members)
{
	JsonSlice	value = root;
	const char *end = root.start + root.len;
	const char *last;
	int			level;

	for (level = 0; json_text_kind(value) == '{' && level < path->depth; level++)
	{
		JsonSlice	child = value;
		int			matches = find_key(value, path->keys[level], &child);

		if (matches > 1)
			return false;
		if (matches == 1)
		{
			value = child;
			continue;
		}
		write_bytes(output, root.start, value.start - root.start);
		last = write_members(output, value);
		write_bytes(output, path->quoted[level].start, path->quoted[level].len);
		write_char(output, ':');
		write_new(output, path, level + 1, members);
		write_bytes(output, last, end - last);
		return true;
	}
	if (json_text_kind(value) != '{' && json_text_kind(value) != 'n')
		return false;
	write_bytes(output, root.start, value.start - root.start);
	if (json_text_kind(value) == '{')
		write_merged(output, value, members);
	else
		write_new(output, path, level, members);
	last = value.start + value.len;
	write_bytes(output, last, end - last);
	return true;
}

size_t
header_text_put(JsonSlice value, const HeaderPath *path, JsonSlice members, char *out)
{
	Output		output = {.at = out};

	return write_along(&output, value, path, members) ? (size_t) (output.at - out) : 0;
}

size_t
header_text_put_size(JsonSlice value, const HeaderPath *path, JsonSlice members)
{
	/*
	 * for the innermost object, braces and a comma; for each object around it, a key, colon, braces
	 */
	size_t		size = value.len + members.len + 3;

	for (int i = 0; i < path->depth; i++)
		size += path->quoted[i].len + 4;
	return size;
}
