/*
 * fuzz_header_text.c: the readers and the writer of headers in JSON text and Properties, under
 * libFuzzer.
 *
 * Whatever the bytes are, nothing outside them is read, and nothing beyond the promised room is
 * written.  A text is taken for JSON exactly when a slow, recursive reader takes it for JSON.  A
 * text into which a carrier was put is JSON, and has just that carrier and all that it had before,
 * in the same order and byte for byte.
 */
#include "context/header_text.h"
#include "fuzz.h"

#define SLICE(literal) {literal, sizeof(literal) - 1}

static const JsonSlice traceparent =
	SLICE("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
static const JsonSlice members =
	SLICE("\"traceparent\":\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\","
		  "\"tracestate\":\"a=\\\"1\"");
static const JsonSlice tracestate = SLICE("a=\"1");
static const JsonSlice keys[] = {SLICE("a"), SLICE("b\"")};
static const JsonSlice quoted[] = {SLICE("\"a\""), SLICE("\"b\\\"\"")};

/*
 * The slow reader: recursive descent, straight from RFC 8259.  Returns the length of a value, 0 for
 * none.
 */
static size_t slow_value(const char *s, size_t len, int depth);

static size_t
slow_space(const char *s, size_t len)
{
	size_t		n = 0;

	while (n < len && (s[n] == ' ' || s[n] == '\t' || s[n] == '\r' || s[n] == '\n'))
		n++;
	return n;
}

static size_t
slow_string(const char *s, size_t len)
{
	size_t		n = 1;

	if (len == 0 || s[0] != '"')
		return 0;
	while (n < len)
	{
		if (s[n] == '"')
			return n + 1;
		if ((unsigned char) s[n] < ' ')
			return 0;
		if (s[n] == '\\')
		{
			n++;
			if (n == len || s[n] == '\0' || strchr("\"\\/bfnrtu", s[n]) == NULL)
				return 0;
			if (s[n] == 'u')
				for (int i = 0; i < 4; i++)
					if (++n == len || s[n] == '\0' ||
						strchr("0123456789abcdefABCDEF", s[n]) == NULL)
						return 0;
		}
		n++;
	}
	return 0;
}

static size_t
slow_digits(const char *s, size_t len)
{
	size_t		n = 0;

	while (n < len && s[n] >= '0' && s[n] <= '9')
		n++;
	return n;
}

static size_t
slow_number(const char *s, size_t len)
{
	size_t		n = len > 0 && s[0] == '-' ? 1 : 0;
	size_t		digits = slow_digits(s + n, len - n);

	if (digits == 0)
		return 0;
	n += s[n] == '0' ? 1 : digits;
	if (n < len && s[n] == '.')
	{
		digits = slow_digits(s + n + 1, len - n - 1);
		if (digits == 0)
			return 0;
		n += 1 + digits;
	}
	if (n < len && (s[n] == 'e' || s[n] == 'E'))
	{
		n++;
		if (n < len && (s[n] == '+' || s[n] == '-'))
			n++;
		digits = slow_digits(s + n, len - n);
		if (digits == 0)
			return 0;
		n += digits;
	}
	return n;
}

/* An object or an array: values with commas between them. */
static size_t
slow_container(const char *s, size_t len, int depth)
{
	char		closing = s[0] == '{' ? '}' : ']';
	size_t		n = 1;

	if (depth >= 1000)
		return 0;
	n += slow_space(s + n, len - n);
	if (n < len && s[n] == closing)
		return n + 1;
	for (;;)
	{
		size_t		part;

		n += slow_space(s + n, len - n);
		if (closing == '}')
		{
			part = slow_string(s + n, len - n);
			if (part == 0)
				return 0;
			n += part;
			n += slow_space(s + n, len - n);
			if (n == len || s[n] != ':')
				return 0;
			n++;
			n += slow_space(s + n, len - n);
		}
		part = slow_value(s + n, len - n, depth + 1);
		if (part == 0)
			return 0;
		n += part;
		n += slow_space(s + n, len - n);
		if (n == len)
			return 0;
		if (s[n] == closing)
			return n + 1;
		if (s[n++] != ',')
			return 0;
	}
}

static size_t
slow_value(const char *s, size_t len, int depth)
{
	static const char *const words[] = {"null", "true", "false"};

	if (len == 0)
		return 0;
	if (s[0] == '{' || s[0] == '[')
		return slow_container(s, len, depth);
	if (s[0] == '"')
		return slow_string(s, len);
	for (int i = 0; i < 3; i++)
		if (len >= strlen(words[i]) && memcmp(s, words[i], strlen(words[i])) == 0)
			return strlen(words[i]);
	return slow_number(s, len);
}

static bool
slow_is_json(const char *s, size_t len)
{
	size_t		before = slow_space(s, len);
	size_t		value = slow_value(s + before, len - before, 0);

	return value > 0 &&
		before + value + slow_space(s + before + value, len - before - value) == len;
}

static bool
same(JsonSlice a, JsonSlice b)
{
	return a.len == b.len && memcmp(a.start, b.start, a.len) == 0;
}

static bool
is_header_name(JsonSlice key)
{
	return json_text_equals(key, "traceparent", 11, true) ||
		json_text_equals(key, "tracestate", 10, true);
}

/* The object after is the object before without its headers, and then those that were put. */
static void
check_merged(JsonSlice before, JsonSlice after)
{
	const char *old_position = NULL;
	const char *new_position = NULL;
	JsonMember	old;
	JsonMember	new;

	while (json_text_next_member(before, &old_position, &old))
	{
		if (is_header_name(old.key))
			continue;
		REQUIRE(json_text_next_member(after, &new_position, &new));
		REQUIRE(same(old.key, new.key) && same(old.value, new.value));
	}
	REQUIRE(json_text_next_member(after, &new_position, &new));
	REQUIRE(same(new.key, (JsonSlice) SLICE("\"traceparent\"")));
	REQUIRE(json_text_next_member(after, &new_position, &new));
	REQUIRE(same(new.key, (JsonSlice) SLICE("\"tracestate\"")));
	REQUIRE(!json_text_next_member(after, &new_position, &new));
}

/* After a put along a path, only the member that the path names has changed. */
static void
check_put(JsonSlice before, JsonSlice after, const HeaderPath *path, int level)
{
	const char *old_position = NULL;
	const char *new_position = NULL;
	JsonMember	old;
	JsonMember	new;
	bool		found = false;

	if (json_text_kind(before) == 'n')
		return;
	if (level == path->depth)
	{
		check_merged(before, after);
		return;
	}
	while (json_text_next_member(before, &old_position, &old))
	{
		REQUIRE(json_text_next_member(after, &new_position, &new));
		REQUIRE(same(old.key, new.key));
		if (json_text_equals(old.key, path->keys[level].start, path->keys[level].len, false))
		{
			found = true;
			check_put(old.value, new.value, path, level + 1);
		}
		else
			REQUIRE(same(old.value, new.value));
	}
	REQUIRE(json_text_next_member(after, &new_position, &new) == !found);
}

static void
check_headers(JsonSlice json)
{
	char	   *room = malloc(json.len);
	HeaderPair	headers;

	REQUIRE(room != NULL);
	header_text_read_json(json, room, &headers);
	if (headers.traceparent.start != NULL)
		REQUIRE(headers.traceparent.start >= room &&
				headers.traceparent.start + headers.traceparent.len <= room + json.len);
	if (headers.tracestate.start != NULL)
		REQUIRE(headers.tracestate.start >= room &&
				headers.tracestate.start + headers.tracestate.len <= room + json.len);
	free(room);
}

static void
check_path(JsonSlice json, const HeaderPath *path)
{
	size_t		size = header_text_put_size(json, path, members);
	char	   *out = malloc(size);
	size_t		len;
	JsonSlice	again;
	JsonSlice	found;
	HeaderPair	headers;
	char	   *room;

	REQUIRE(out != NULL);
	if (header_text_find(json, path, &found))
		check_headers(found);
	len = header_text_put(json, path, members, out);
	if (len == 0)
	{
		free(out);
		return;
	}
	REQUIRE(len <= size);
	/*
	 * where the text was as deep as it may be, the new objects make it deeper than the reader goes
	 */
	if (json_text_read(out, len, &again))
	{
		REQUIRE(again.len == len);
		check_put(json, again, path, 0);
		REQUIRE(header_text_find(again, path, &found));
		room = malloc(found.len);
		REQUIRE(room != NULL);
		header_text_read_json(found, room, &headers);
		REQUIRE(same(headers.traceparent, traceparent) && same(headers.tracestate, tracestate));
		free(room);
	}
	free(out);
}

static void
check_properties(const char *text, size_t len)
{
	char	   *room = malloc(len > 0 ? len : 1);
	HeaderPair	headers;

	REQUIRE(room != NULL);
	header_text_read_properties(text, len, room, &headers);
	if (headers.traceparent.start != NULL)
		REQUIRE(headers.traceparent.start + headers.traceparent.len <= room + len);
	if (headers.tracestate.start != NULL)
		REQUIRE(headers.tracestate.start + headers.tracestate.len <= room + len);
	free(room);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = exact_copy(data, size);
	JsonSlice	json;

	check_properties(text, size);
	if (json_text_read(text, size, &json))
	{
		REQUIRE(slow_is_json(text, size));
		check_headers(json);
		for (int depth = 0; depth <= 2; depth++)
			check_path(json, &(HeaderPath) {depth, keys, quoted});
	}
	else
		REQUIRE(!slow_is_json(text, size));
	free(text);
	return 0;
}
