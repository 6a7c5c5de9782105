/*
 * fuzz_sqlcommenter.c: a context is found exactly when real comments of the message hold it for
 * the statement.
 *
 * Compares sqlcommenter_find with a slow scanner that is written another way: it first gives every
 * byte of the message a class, one lexer state at a time as scan.l has them, then copies the
 * comments out and lists the contexts in the copies, then cuts the message into statements and
 * counts.  Only the W3C grammar is shared; it has a fuzzer of its own.
 *
 * The input's first byte holds the options.  In the rest, bytes below 0x20 and from 0x80 on stand
 * for whole pieces of SQL, so that mutation finds nested comments and valid contexts soon.
 */
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "capture/sqlcommenter.h"

#define TP(digit) "00-" "4bf92f3577b34da6a3ce929d0e0e473" digit "-00f067aa0ba902b7-01"

#define OTHER_SPAN(digit) "00-" "4bf92f3577b34da6a3ce929d0e0e473" digit "-00f067aa0ba902b8-01"

#define ENCODED "traceparent='00%2D" "4bf92f3577b34da6a3ce929d0e0e4738%%2D00f067aa0ba902b7-01'"

static const char *const pieces[] = {
	"/*", "*/", "--", "\n", "\r\n", ";", "'", "''", "\"", "$$", "$a$", "$1", "\\", "\\'", "e'",
	"E'\\''", "u&'", "b'", "X'", "N'", "traceparent=", "traceparent='", "tracestate='",
	"tracestate=", ",", " ",
	"traceparent:", "%3D", "%%3D", "%27", "=", ":",
	"traceparent='" TP("1") "'", "traceparent='" TP("2") "'", "traceparent=" TP("3"),
	"traceparent:" TP("4"), TP("5"), "/*traceparent='" TP("6") "'*/",
	"/*traceparent='" TP("7") "',tracestate='a%3D1%2Cb%3D2'*/", "tracestate='x=y'",
	"tracestate:k%3Dv", "select ", "1", "a$b", "e", "\xc3\xa9", "/", "*", "-", "$", "_", "%", "%%",
	"\t", "\v", "B", "n",
	"traceparent", "tracestate", "/*x='", "'*/", "action='/a'", "$a$;/*", "*/$a$",
	"B'\\'", "'\n'", "e'\n'\\'", "x='\\'", ENCODED,
	"select 1;", "*/;/*", "'%2", "/**/", "/*traceparent='" OTHER_SPAN("1") "'*/",
};

#define NPIECES (sizeof(pieces) / sizeof(pieces[0]))

/* ---- classes of bytes ---- */

typedef enum Class
{
	NOTHING,					/* white space, line comments */
	CODE,
	SEMICOLON,
	COMMENT						/* a block comment at top level, with its delimiters */
} Class;

static const char *sql;
static size_t len;
static Class *classes;

static int
at(size_t pos)
{
	return pos < len ? (unsigned char) sql[pos] : -1;
}

static bool
letter(int c)
{
	return c >= 0x80 || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool
space(int c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\v' || c == '\f' || c == '\r';
}

static void
mark(size_t from, size_t to, Class class)
{
	for (size_t i = from; i < to && i < len; i++)
		classes[i] = class;
}

static size_t
end_of_line(size_t pos)
{
	while (at(pos) != -1 && at(pos) != '\n' && at(pos) != '\r')
		pos++;
	return pos;
}

/* The end of the comment that begins at pos; len + 1 when there is none. */
static size_t
end_of_comment(size_t pos)
{
	int			depth = 0;

	while (pos < len)
	{
		if (at(pos) == '/' && at(pos + 1) == '*')
		{
			depth++;
			pos += 2;
		}
		else if (at(pos) == '*' && at(pos + 1) == '/')
		{
			depth--;
			pos += 2;
			if (depth == 0)
				return pos;
		}
		else
			pos++;
	}
	return len + 1;
}

/* The end of a literal whose text begins at pos. */
static size_t
end_of_literal(size_t pos, bool escapes)
{
	while (pos < len)
	{
		if (escapes && at(pos) == '\\')
			pos += 2;
		else if (at(pos) != '\'')
			pos++;
		else if (at(pos + 1) == '\'')
			pos += 2;
		else
		{
			/* does it go on in another line? */
			size_t		next = pos + 1;
			bool		newline = false;

			for (;;)
			{
				if (at(next) == '\n' || at(next) == '\r')
					newline = true;
				if (space(at(next)))
					next++;
				else if (at(next) == '-' && at(next + 1) == '-')
					next = end_of_line(next);
				else
					break;
			}
			if (!newline || at(next) != '\'')
				return pos + 1;
			pos = next + 1;
		}
	}
	return len;
}

static size_t
end_of_dollar_quote(size_t pos)
{
	size_t		tag = pos + 1;

	if (letter(at(tag)))
		while (letter(at(tag)) || digit(at(tag)))
			tag++;
	if (at(tag) != '$')
		return pos + 1;
	tag = tag + 1 - pos;

	for (size_t i = pos + tag; i + tag <= len; i++)
		if (strncmp(sql + i, sql + pos, tag) == 0)
			return i + tag;
	return len;
}

static size_t
end_of_code(size_t pos, bool conforming)
{
	int			c = at(pos);

	if (c == '\'')
		return end_of_literal(pos + 1, !conforming);
	if ((c == 'e' || c == 'E') && at(pos + 1) == '\'')
		return end_of_literal(pos + 2, true);
	if ((c == 'b' || c == 'B' || c == 'x' || c == 'X') && at(pos + 1) == '\'')
		return end_of_literal(pos + 2, false);
	if (c == '$')
		return end_of_dollar_quote(pos);
	if (c == '"')
	{
		do
			pos++;
		while (pos < len && at(pos) != '"');
		return pos + 1;
	}
	if (letter(c))
	{
		while (letter(at(pos)) || digit(at(pos)) || at(pos) == '$')
			pos++;
		return pos;
	}
	if (digit(c))
	{
		while (letter(at(pos)) || digit(at(pos)))
			pos++;
		return pos;
	}
	return pos + 1;
}

static void
classify(bool conforming)
{
	size_t		pos = 0;

	while (pos < len)
	{
		size_t		end = pos + 1;
		Class		class = NOTHING;

		if (at(pos) == '/' && at(pos + 1) == '*')
		{
			end = end_of_comment(pos);
			class = end > len ? NOTHING : COMMENT;
		}
		else if (at(pos) == '-' && at(pos + 1) == '-')
			end = end_of_line(pos);
		else if (at(pos) == ';')
			class = SEMICOLON;
		else if (!space(at(pos)))
		{
			end = end_of_code(pos, conforming);
			class = CODE;
		}
		mark(pos, end, class);
		pos = end;
	}
}

/* ---- reading a comment ---- */

/* A context in a comment of the message. */
typedef struct Found
{
	size_t		at;				/* where the comment begins */
	W3cTraceparent traceparent;
	char	   *tracestate;
	size_t		tracestate_len;
} Found;

static Found *found;			/* all of the message, in order */
static size_t nfound;

/* A copy of text with nested comments replaced by a space each. */
static char *
without_nested(const char *text, size_t n, size_t *out_n)
{
	char	   *out = malloc(n + 1);
	int			depth = 0;

	*out_n = 0;
	for (size_t i = 0; i < n; i++)
	{
		if (i + 1 < n && text[i] == '/' && text[i + 1] == '*')
		{
			if (depth++ == 0)
				out[(*out_n)++] = ' ';
			i++;
		}
		else if (i + 1 < n && text[i] == '*' && text[i + 1] == '/')
		{
			depth--;
			i++;
		}
		else if (depth == 0)
			out[(*out_n)++] = text[i];
	}
	out[*out_n] = '\0';
	return out;
}

static int
hex(char c)
{
	const char *digits = "0123456789abcdef0123456789ABCDEF";
	const char *p = c ? strchr(digits, c) : NULL;

	return p ? (int) (p - digits) % 16 : -1;
}

static char *
decoded(const char *value, size_t n, size_t *out_n)
{
	char	   *out = malloc(n + 1);

	*out_n = 0;
	for (size_t i = 0; i < n; i++)
	{
		size_t		doubled = value[i] == '%' && i + 3 < n && value[i + 1] == '%' ? 1 : 0;

		if (value[i] == '\\' && i + 1 < n)
			out[(*out_n)++] = value[++i];
		else if (value[i] == '%' && i + doubled + 2 < n &&
				 hex(value[i + doubled + 1]) >= 0 && hex(value[i + doubled + 2]) >= 0)
		{
			out[(*out_n)++] = (char) (hex(value[i + doubled + 1]) * 16 +
									  hex(value[i + doubled + 2]));
			i += doubled + 2;
		}
		else
			out[(*out_n)++] = value[i];
	}
	return out;
}

/* The traceparent of a value, if it is one. */
static bool
traceparent_of(const char *value, size_t value_n, W3cTraceparent *tp)
{
	size_t		n;
	char	   *text = decoded(value, value_n, &n);
	bool		valid = n <= 256 && w3c_parse_traceparent(text, n, tp) == W3C_OK;

	free(text);
	return valid;
}

/* Gives a tracestate to the last context, unless it is invalid. */
static void
add_tracestate(const char *value, size_t value_n)
{
	Found	   *last = &found[nfound - 1];
	size_t		n;
	char	   *text = decoded(value, value_n, &n);

	if (n <= W3C_TRACESTATE_MAX_LEN && w3c_normalize_tracestate(text, n, text, &n) == W3C_OK)
	{
		last->tracestate = text;
		last->tracestate_len = n;
	}
	else
		free(text);
}

/* Lists the contexts in the text of a comment that begins at a place. */
static void
read_pairs(size_t at_pos, const char *text, size_t text_n)
{
	size_t		n;
	char	   *s = without_nested(text, text_n, &n);
	size_t		i = 0;
	int			ntraceparent = 0;
	int			ntracestate = 0;
	bool		last_valid = false;
	size_t		state = 0;
	size_t		state_n = 0;

#define SEPARATOR(c) (space(c) || (c) == ',')
#define KEY_IS(name) (key_end - key == strlen(name) && strncmp(s + key, name, key_end - key) == 0)
	while (i < n)
	{
		size_t		key = i;
		size_t		key_end;
		size_t		value;
		size_t		value_end;

		while (i < n && !SEPARATOR(s[i]) && s[i] != '=' && s[i] != ':')
			i++;
		key_end = i;
		if (i == n || SEPARATOR(s[i]))
		{
			i++;
			continue;
		}
		value = ++i;
		if (i < n && s[i] == '\'')
		{
			value = ++i;
			while (i < n && s[i] != '\'')
				i += s[i] == '\\' ? 2 : 1;
			value_end = i < n ? i : value;
		}
		else
		{
			while (i < n && !SEPARATOR(s[i]))
				i++;
			value_end = i;
		}
		while (i < n && !SEPARATOR(s[i]))
			i++;

		if (KEY_IS("traceparent"))
		{
			Found		one = {.at = at_pos};

			ntraceparent++;
			last_valid = traceparent_of(s + value, value_end - value, &one.traceparent);
			if (last_valid)
			{
				found = realloc(found, (nfound + 1) * sizeof(Found));
				found[nfound++] = one;
			}
		}
		else if (KEY_IS("tracestate"))
		{
			ntracestate++;
			state = value;
			state_n = value_end - value;
		}
	}
	if (last_valid && ntraceparent == 1 && ntracestate == 1)
		add_tracestate(s + state, state_n);
	free(s);
}

/* Lists the contexts of all comments. */
static void
list_contexts(void)
{
	for (size_t i = 0; i < len;)
	{
		size_t		end = i + 1;

		if (classes[i] == COMMENT)
		{
			end = end_of_comment(i);
			read_pairs(i, sql + i + 2, end - i - 4);
		}
		i = end;
	}
}

/*
 * Is there more than one context among those of the comments between two places?  Of more than one
 * trace?
 */
static bool
differ(size_t from, size_t to, bool traces)
{
	const Found *first = NULL;

	for (size_t i = 0; i < nfound; i++)
	{
		if (found[i].at < from || found[i].at >= to)
			continue;
		if (first == NULL)
			first = &found[i];
		else if (traces ?
				 memcmp(first->traceparent.trace_id, found[i].traceparent.trace_id, 16) != 0 :
				 memcmp(&first->traceparent, &found[i].traceparent, sizeof(W3cTraceparent)) != 0)
			return true;
	}
	return false;
}

/* The last context of the comments between two places, or NULL. */
static const Found *
last_between(size_t from, size_t to)
{
	const Found *last = NULL;

	for (size_t i = 0; i < nfound; i++)
		if (found[i].at >= from && found[i].at < to)
			last = &found[i];
	return last;
}

/* The result for a statement whose own comments are between two places. */
static const Found *
expected_between(size_t from, size_t to)
{
	if (!differ(0, len, false))
		return last_between(0, len);
	return differ(from, to, true) ? NULL : last_between(from, to);
}

/* ---- the comparison ---- */

static void
compare(const char *what, SqlCommenterMessage *message, int location, int stmt_len,
		const Found *expected)
{
	static SqlCommenterContext got;
	SqlCommenterResult result = sqlcommenter_find(message, location, stmt_len, &got);
	bool		is_found = result == SQLCOMMENTER_FOUND;

	if (is_found == (expected != NULL) &&
		(!is_found ||
		 (memcmp(&got.traceparent, &expected->traceparent, sizeof(W3cTraceparent)) == 0 &&
		  got.tracestate_len == expected->tracestate_len &&
		  (got.tracestate_len == 0 ||
		   memcmp(got.tracestate, expected->tracestate, got.tracestate_len) == 0))))
		return;
	fprintf(stderr, "%s: location %d, length %d: found %d, expected %d\n%.*s\n",
			what, location, stmt_len, is_found, expected != NULL, (int) len, sql);
	abort();
}

static void
compare_alone(const char *what, bool conforming, int location, int stmt_len, const Found *expected)
{
	SqlCommenterMessage message;

	sqlcommenter_open(&message, sql, len, conforming);
	compare(what, &message, location, stmt_len, expected);
}

/* Is there code between two places? */
static bool
has_code(size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		if (classes[i] == CODE)
			return true;
	return false;
}

static void
check_message(bool conforming)
{
	SqlCommenterMessage as_15;
	SqlCommenterMessage as_18;
	int			nstatements = 0;
	int			first_location = -1;
	int			first_len = 0;
	const Found *first_expected = NULL;
	const Found *unknown;

	sqlcommenter_open(&as_15, sql, len, conforming);
	sqlcommenter_open(&as_18, sql, len, conforming);
	for (size_t start = 0; start <= len;)
	{
		size_t		end = start;
		size_t		first = start;

		while (end < len && classes[end] != SEMICOLON)
			end++;
		if (has_code(start, end))
		{
			const Found *expected = expected_between(start, has_code(end, len) ? end : len);
			int			old_len = end < len ? (int) (end - start) : 0;
			int			new_len;

			nstatements++;
			while (classes[first] != CODE)
				first++;
			new_len = end < len ? (int) (end - first) : 0;
			if (nstatements == 1)
			{
				first_location = (int) first;
				first_len = new_len;
				first_expected = expected;
			}
			compare_alone("15", conforming, (int) start, old_len, expected);
			compare_alone("18", conforming, (int) first, new_len, expected);
			compare("15, reading on", &as_15, (int) start, old_len, expected);
			compare("18, reading on", &as_18, (int) first, new_len, expected);
			compare("18, again", &as_18, (int) first, new_len, expected);
		}
		start = end + 1;
	}

	if (nstatements > 0)
		compare("18, back at the first", &as_18, first_location, first_len, first_expected);
	unknown = nstatements <= 1 ? expected_between(0, len) : expected_between(0, 0);
	compare_alone("unknown", conforming, -1, -1, unknown);
	compare_alone("no location and no length", conforming, 0, 0, unknown);
}

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *message;
	char	   *exact;
	static SqlCommenterContext ignored;
	SqlCommenterMessage any;

	/* the slow scanner is too slow for longer inputs */
	if (size == 0 || size > 2000)
		return 0;
	message = malloc(size * 100);
	len = 0;
	for (size_t i = 1; i < size; i++)
	{
		size_t		piece = data[i] < 0x20 ? data[i] : data[i] >= 0x80 ? data[i] - 0x60 : NPIECES;

		if (piece < NPIECES && (data[0] & 2) == 0)
		{
			size_t		n = strlen(pieces[piece]);

			memcpy(message + len, pieces[piece], n);
			len += n;
		}
		else
			message[len++] = (char) data[i];
	}

	/* a block of exactly this size, so that the address sanitizer notices any byte beyond it */
	exact = malloc(len);
	memcpy(exact, message, len);
	free(message);
	sql = exact;
	classes = calloc(len + 1, sizeof(Class));
	classify((data[0] & 1) != 0);
	list_contexts();
	check_message((data[0] & 1) != 0);

	/* with an invalid location, reading only has to stay inside */
	sqlcommenter_open(&any, sql, len, true);
	sqlcommenter_find(&any, (data[0] >> 2) * 3, data[size - 1], &ignored);

	for (size_t i = 0; i < nfound; i++)
		free(found[i].tracestate);
	free(found);
	found = NULL;
	nfound = 0;
	free(classes);
	free(exact);
	return 0;
}
