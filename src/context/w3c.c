/*
 * w3c.c: the grammar of the headers traceparent and tracestate, W3C Trace Context Level 2.
 *
 * Section numbers are those of the recommendation.  No byte outside the given lengths is read, so
 * the same code can read a datum, a part of a query's comment, and a message from a client.
 */
#include "context/w3c.h"

#include <string.h>

/* Where the fields of a traceparent begin (section 3.2.2). */
#define TRACE_ID_AT 3
#define SPAN_ID_AT 36
#define FLAGS_AT 53

/* Limits of one member of a tracestate (sections 3.3.1.3.1 and 3.3.1.3.2). */
#define KEY_MAX_LEN 256
#define VALUE_MAX_LEN 256

/* A lower-case hexadecimal digit's value with HEX_VALID set, 0 for any other byte. */
#define HEX_VALID 0x10
static const uint8_t hex_digit[256] = {
	['0'] = 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19,
	['a'] = 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f
};

/* A key that is already in the normalised list. */
typedef struct KeySlice
{
	size_t		start;
	size_t		len;
} KeySlice;

static inline bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static inline bool
is_key_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static inline bool
is_key_char(char c)
{
	return is_key_start(c) || c == '_' || c == '-' || c == '*' || c == '/' || c == '@';
}

/* nblk-chr: printable ASCII but space, "," and "=" */
static inline bool
is_value_char(char c)
{
	return c > ' ' && c <= '~' && c != ',' && c != '=';
}

bool
w3c_parse_hex(const char *hex, size_t size, uint8_t *out)
{
	uint8_t		valid = HEX_VALID;

	for (size_t i = 0; i < size; i++)
	{
		uint8_t		high = hex_digit[(uint8_t) hex[2 * i]];
		uint8_t		low = hex_digit[(uint8_t) hex[2 * i + 1]];

		valid &= high & low;
		out[i] = (uint8_t) ((high << 4) | (low & 0x0f));
	}
	return valid != 0;
}

void
w3c_format_hex(const uint8_t *bytes, size_t size, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < size; i++)
	{
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 0x0f];
	}
}

bool
w3c_is_zero(const uint8_t *bytes, size_t size)
{
	uint8_t		any = 0;

	for (size_t i = 0; i < size; i++)
		any |= bytes[i];
	return any == 0;
}

W3cError
w3c_parse_traceparent(const char *value, size_t len, W3cTraceparent *out)
{
	uint8_t		version;

	while (len > 0 && is_blank(value[len - 1]))
		len--;
	while (len > 0 && is_blank(value[0]))
	{
		value++;
		len--;
	}

	if (len < W3C_TRACEPARENT_LEN)
		return W3C_TRACEPARENT_LENGTH;
	if (!w3c_parse_hex(value, 1, &version) || version == 0xff)
		return W3C_TRACEPARENT_VERSION;
	if (value[TRACE_ID_AT - 1] != '-')
		return W3C_TRACEPARENT_DELIMITER;
	if (!w3c_parse_hex(value + TRACE_ID_AT, W3C_TRACE_ID_SIZE, out->trace_id))
		return W3C_TRACEPARENT_TRACE_ID_HEX;
	if (w3c_is_zero(out->trace_id, W3C_TRACE_ID_SIZE))
		return W3C_TRACEPARENT_TRACE_ID_ZERO;
	if (value[SPAN_ID_AT - 1] != '-')
		return W3C_TRACEPARENT_DELIMITER;
	if (!w3c_parse_hex(value + SPAN_ID_AT, W3C_SPAN_ID_SIZE, out->span_id))
		return W3C_TRACEPARENT_SPAN_ID_HEX;
	if (w3c_is_zero(out->span_id, W3C_SPAN_ID_SIZE))
		return W3C_TRACEPARENT_SPAN_ID_ZERO;
	if (value[FLAGS_AT - 1] != '-')
		return W3C_TRACEPARENT_DELIMITER;
	if (!w3c_parse_hex(value + FLAGS_AT, 1, &out->trace_flags))
		return W3C_TRACEPARENT_FLAGS;

	if (version == 0)
		return len == W3C_TRACEPARENT_LEN ? W3C_OK : W3C_TRACEPARENT_LENGTH;

	/* The other bits, and what follows, may mean anything in later versions (section 3.2.4). */
	out->trace_flags &= W3C_FLAGS_KNOWN;
	if (len > W3C_TRACEPARENT_LEN && value[W3C_TRACEPARENT_LEN] != '-')
		return W3C_TRACEPARENT_DELIMITER;
	return W3C_OK;
}

void
w3c_format_traceparent(const W3cTraceparent *tp, char out[W3C_TRACEPARENT_LEN])
{
	out[0] = '0';
	out[1] = '0';
	out[TRACE_ID_AT - 1] = '-';
	w3c_format_hex(tp->trace_id, W3C_TRACE_ID_SIZE, out + TRACE_ID_AT);
	out[SPAN_ID_AT - 1] = '-';
	w3c_format_hex(tp->span_id, W3C_SPAN_ID_SIZE, out + SPAN_ID_AT);
	out[FLAGS_AT - 1] = '-';
	w3c_format_hex(&tp->trace_flags, 1, out + FLAGS_AT);
}

/* Reads the key that begins at member and the "=" after it; *key_len does not count the "=". */
static W3cError
read_key(const char *member, size_t len, size_t *key_len)
{
	size_t		i = 1;

	if (!is_key_start(member[0]))
		return W3C_TRACESTATE_KEY;
	while (i < len && is_key_char(member[i]))
		i++;
	if (i > KEY_MAX_LEN)
		return W3C_TRACESTATE_KEY;
	if (i == len || member[i] == ',')
		return W3C_TRACESTATE_NO_EQUALS;
	if (member[i] != '=')
		return W3C_TRACESTATE_KEY;
	*key_len = i;
	return W3C_OK;
}

/*
 * Reads a value up to the comma or the end.  Spaces before it and within it are part of it; spaces
 * and tabs after it are not, so only more of them may follow a tab.  *value_len is the length of
 * the value, *consumed the length that was read.
 */
static W3cError
read_value(const char *value, size_t len, size_t *value_len, size_t *consumed)
{
	size_t		end = 0;
	bool		tab_seen = false;
	size_t		i;

	for (i = 0; i < len && value[i] != ','; i++)
	{
		if (value[i] == ' ')
			continue;
		if (value[i] == '\t')
		{
			tab_seen = true;
			continue;
		}
		if (tab_seen || !is_value_char(value[i]))
			return W3C_TRACESTATE_VALUE;
		end = i + 1;
	}
	if (end == 0 || end > VALUE_MAX_LEN)
		return W3C_TRACESTATE_VALUE;
	*value_len = end;
	*consumed = i;
	return W3C_OK;
}

static bool
has_key(const char *list, const KeySlice *keys, int nkeys, const char *key, size_t len)
{
	for (int i = 0; i < nkeys; i++)
	{
		if (keys[i].len == len && memcmp(list + keys[i].start, key, len) == 0)
			return true;
	}
	return false;
}

W3cError
w3c_normalize_tracestate(const char *value, size_t len, char *out, size_t *out_len)
{
	KeySlice	keys[W3C_TRACESTATE_MAX_MEMBERS];
	int			nkeys = 0;
	int			nmembers = 0;
	size_t		written = 0;
	size_t		pos = 0;

	while (pos < len)
	{
		const char *member = value + pos;
		size_t		key_len;
		size_t		value_len;
		size_t		value_consumed;
		size_t		member_len;
		W3cError	error;

		if (is_blank(*member) || *member == ',')
		{
			pos++;
			continue;
		}
		if (++nmembers > W3C_TRACESTATE_MAX_MEMBERS)
			return W3C_TRACESTATE_MEMBERS;

		error = read_key(member, len - pos, &key_len);
		if (error != W3C_OK)
			return error;
		pos += key_len + 1;
		error = read_value(value + pos, len - pos, &value_len, &value_consumed);
		if (error != W3C_OK)
			return error;
		pos += value_consumed;

		if (has_key(out, keys, nkeys, member, key_len))
			continue;
		if (nkeys > 0)
			out[written++] = ',';
		keys[nkeys].start = written;
		keys[nkeys].len = key_len;
		nkeys++;
		/* out may be value itself; members only ever move towards the front */
		member_len = key_len + 1 + value_len;
		memmove(out + written, member, member_len);
		written += member_len;
	}
	*out_len = written;
	return W3C_OK;
}

const char *
w3c_error_detail(W3cError error)
{
	switch (error)
	{
		case W3C_OK:
			break;
		case W3C_TRACEPARENT_LENGTH:
			return "A traceparent of version 00 has exactly 55 characters, "
				"one of a later version at least 55.";
		case W3C_TRACEPARENT_DELIMITER:
			return "The fields of a traceparent must have their full length "
				"and be separated by \"-\".";
		case W3C_TRACEPARENT_VERSION:
			return "The version must be two lower-case hexadecimal digits other than \"ff\".";
		case W3C_TRACEPARENT_TRACE_ID_HEX:
			return "The trace-id must be 32 lower-case hexadecimal digits.";
		case W3C_TRACEPARENT_TRACE_ID_ZERO:
			return "The trace-id must not be all zeros.";
		case W3C_TRACEPARENT_SPAN_ID_HEX:
			return "The parent-id (span id) must be 16 lower-case hexadecimal digits.";
		case W3C_TRACEPARENT_SPAN_ID_ZERO:
			return "The parent-id (span id) must not be all zeros.";
		case W3C_TRACEPARENT_FLAGS:
			return "The trace-flags must be two lower-case hexadecimal digits.";
		case W3C_TRACESTATE_KEY:
			return "A tracestate key must begin with a lower-case letter or a digit "
				"and have at most 256 characters, "
				"which are lower-case letters, digits, \"_\", \"-\", \"*\", \"/\" and \"@\".";
		case W3C_TRACESTATE_VALUE:
			return "A tracestate value must have 1 to 256 characters, "
				"which are printable ASCII other than \",\" and \"=\".";
		case W3C_TRACESTATE_NO_EQUALS:
			return "A tracestate member must be a key and a value with \"=\" between them.";
		case W3C_TRACESTATE_MEMBERS:
			return "A tracestate must have at most 32 members.";
	}
	return "There is no error.";
}
