/*
 * sqlcommenter.c: the trace context in the comments of a SQL statement.
 *
 * The lexer finds a statement's comments; a comment's body is a list of key-value pairs.  There, a nested
 * comment is white space, wherever it stands.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* memmem */
#endif
#include <string.h>

#include "capture/sql_lexer.h"
#include "capture/sqlcommenter.h"

static const char traceparent_key[] = "traceparent";
static const char tracestate_key[] = "tracestate";

#define TRACEPARENT_KEY_LEN (sizeof(traceparent_key) - 1)
#define TRACESTATE_KEY_LEN (sizeof(tracestate_key) - 1)

/* A traceparent is 55 bytes; of a version above 00 it may go on.  Longer than this, it is none. */
#define TRACEPARENT_MAX_LEN 256

/*
 * Inside a comment.  Body is its text without the delimiters, so nested comments in it are complete.
 */
typedef struct Body
{
	const char *text;
	size_t		len;
	size_t		pos;
} Body;

typedef struct Value
{
	const char *text;
	size_t		len;
} Value;

static inline bool
at_nested_comment(const Body *body)
{
	return body->text[body->pos] == '/' &&
		body->len - body->pos >= 2 && body->text[body->pos + 1] == '*';
}

static inline void
body_advance(Body *body)
{
	size_t		end = 0;

	if (at_nested_comment(body))
		end = sql_block_comment_end(body->text, body->len, body->pos);
	body->pos = end ? end : body->pos + 1;
}

static inline bool
at_separator(const Body *body)
{
	char		c = body->text[body->pos];

	return c == ',' || sql_is_space(c) || at_nested_comment(body);
}

/*
 * The value after "=" or ":", still encoded; goes on behind it.  A quote without its partner takes the
 * rest of the comment, so that nothing in what may be a text is read as a key.
 */
static Value
read_value(Body *body)
{
	Value		value;

	if (body->pos < body->len && body->text[body->pos] == '\'')
	{
		size_t		start = ++body->pos;

		while (body->pos < body->len && body->text[body->pos] != '\'')
		{
			bool		escape = body->text[body->pos] == '\\';

			body_advance(body);
			if (escape && body->pos < body->len)
				body_advance(body);
		}
		value.text = body->text + start;
		value.len = body->pos < body->len ? body->pos++ - start : 0;
	}
	else
	{
		value.text = body->text + body->pos;
		while (body->pos < body->len && !at_separator(body))
			body->pos++;
		value.len = body->text + body->pos - value.text;
	}

	/* what touches a closing quote belongs to no key */
	while (body->pos < body->len && !at_separator(body))
		body->pos++;
	return value;
}

/* The value of a hexadecimal digit, or -1. */
static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Is there %XX at text + pos? */
static bool
at_percent_code(const char *text, size_t len, size_t pos)
{
	return len - pos >= 3 && text[pos] == '%' &&
		hex_value(text[pos + 1]) >= 0 && hex_value(text[pos + 2]) >= 0;
}

/*
 * Undoes percent-encoding (also with the percent sign doubled, as drivers with %s parameters leave it)
 * and backslashes.  False when the result is longer than max.
 */
static bool
decode_value(Value value, char *out, size_t max, size_t *out_len)
{
	const char *text = value.text;
	size_t		pos = 0;
	size_t		n = 0;

	while (pos < value.len)
	{
		Body		rest = {text, value.len, pos};
		char		c = text[pos];

		if (c == '/' && at_nested_comment(&rest))
		{
			body_advance(&rest);
			pos = rest.pos;
			c = ' ';
		}
		else if (c == '\\' && pos + 1 < value.len)
		{
			rest.pos = ++pos;
			if (at_nested_comment(&rest))
				continue;
			c = text[pos++];
		}
		else if (c == '%')
		{
			if (at_percent_code(text, value.len, pos + 1))
				pos++;
			if (at_percent_code(text, value.len, pos))
			{
				c = (char) (hex_value(text[pos + 1]) << 4 | hex_value(text[pos + 2]));
				pos += 2;
			}
			pos++;
		}
		else
			pos++;
		if (n == max)
			return false;
		out[n++] = c;
	}
	*out_len = n;
	return true;
}

static bool
parse_traceparent(Value value, W3cTraceparent *out)
{
	char		decoded[TRACEPARENT_MAX_LEN];
	size_t		len;

	return decode_value(value, decoded, sizeof(decoded), &len) &&
		w3c_parse_traceparent(decoded, len, out) == W3C_OK;
}

/*
 * The last valid traceparent of a comment, and its tracestate (still encoded; without bytes when there is
 * none, or when either key is there more than once, so that nobody can say which belong together).
 */
static bool
read_comment(const char *text, size_t len, W3cTraceparent *traceparent, Value *tracestate)
{
	Body		body = {text, len, 0};
	bool		found = false;
	int			ntraceparent = 0;
	int			ntracestate = 0;

	while (body.pos < len)
	{
		const char *key = text + body.pos;
		size_t		key_len;
		Value		value;

		if (at_separator(&body))
		{
			body_advance(&body);
			continue;
		}
		while (body.pos < len && !at_separator(&body) &&
			   text[body.pos] != '=' && text[body.pos] != ':')
			body.pos++;
		key_len = text + body.pos - key;
		if (body.pos == len || at_separator(&body))
			continue;			/* a word, no key */
		body.pos++;
		value = read_value(&body);

		if (key_len == TRACEPARENT_KEY_LEN && memcmp(key, traceparent_key, key_len) == 0)
		{
			W3cTraceparent parsed;

			ntraceparent++;
			if (parse_traceparent(value, &parsed))
			{
				*traceparent = parsed;
				found = true;
			}
		}
		else if (key_len == TRACESTATE_KEY_LEN && memcmp(key, tracestate_key, key_len) == 0)
		{
			ntracestate++;
			*tracestate = value;
		}
	}
	if (ntraceparent != 1 || ntracestate != 1)
		tracestate->len = 0;
	return found;
}

static bool
holds_traceparent(const char *text, size_t len)
{
	return memmem(text, len, traceparent_key, TRACEPARENT_KEY_LEN) != NULL;
}

/*
 * Is there the beginning of a comment, and the key after it?  These are only bytes, which a literal may hold
 * as well.  Few statements without a comment have a "*", which memchr() looks for in 10 MB in 0.4 ms; memmem()
 * takes 1 to 3 ms for the key (glibc 2.36).
 */
static bool
may_hold_context(const char *sql, size_t len)
{
	const char *end = sql + len;

	for (const char *star = sql; star < end; star++)
	{
		star = memchr(star, '*', end - star);
		if (star == NULL)
			return false;
		if (star > sql && star[-1] == '/')
			return holds_traceparent(star, end - star);
	}
	return false;
}

/*
 * What a search has found so far.
 */
typedef struct Search
{
	bool		found;
	W3cTraceparent traceparent;
	Value		tracestate;
} Search;

static void
search_comment(Search *search, const SqlLexer *lx)
{
	const char *text = lx->sql + lx->event + 2;
	size_t		len = lx->pos - lx->event - 4;
	W3cTraceparent traceparent;
	Value		tracestate = {text, 0};

	if (holds_traceparent(text, len) && read_comment(text, len, &traceparent, &tracestate))
	{
		search->found = true;
		search->traceparent = traceparent;
		search->tracestate = tracestate;
	}
}

/*
 * The comments up to lx->len of the statement at location, and those between it and the ";" before.
 * The place after that ";" goes to *boundary.
 */
static void
search_statement(Search *search, SqlLexer *lx, size_t location, size_t *boundary)
{
	SqlLexerEvent	event;

	while ((event = sql_lexer_next(lx)) != SQL_LEXER_END)
	{
		if (event == SQL_LEXER_COMMENT)
			search_comment(search, lx);
		else if (lx->pos <= location)
		{
			/* what came before belongs to another statement */
			search->found = false;
			*boundary = lx->pos;
		}
	}
}

/* The comments after a statement's ";" belong to it when no other statement follows. */
static void
search_tail(Search *search, SqlLexer *lx)
{
	Search		tail = {false};
	SqlLexerEvent	event;

	do
	{
		event = sql_lexer_next(lx);
		if (lx->code)
			return;
		if (event == SQL_LEXER_COMMENT)
			search_comment(&tail, lx);
	} while (event != SQL_LEXER_END);

	if (tail.found)
		*search = tail;
}

/* All comments of a message, when it holds one statement. */
static void
search_message(Search *search, SqlLexer *lx)
{
	bool		code = false;
	bool		ended = false;
	SqlLexerEvent	event;

	do
	{
		event = sql_lexer_next(lx);
		if (lx->code && ended)
		{
			search->found = false;
			return;
		}
		code |= lx->code;
		if (event == SQL_LEXER_COMMENT)
			search_comment(search, lx);
		else
			ended = code;
	} while (event != SQL_LEXER_END);
}

bool
sqlcommenter_find(const char *sql, size_t len, int stmt_location, int stmt_len,
				  bool standard_conforming_strings, size_t *boundary,
				  SqlCommenterContext *out)
{
	Search		search = {false};
	SqlLexer	lx = {.sql = sql, .len = len, .plain_escapes = !standard_conforming_strings};
	size_t		own_boundary = 0;

	if (boundary == NULL)
		boundary = &own_boundary;

	if (stmt_location < 0 || (size_t) stmt_location > len)
	{
		if (may_hold_context(sql, len))
			search_message(&search, &lx);
	}
	else
	{
		size_t		location = stmt_location;
		size_t		end = len;

		if (stmt_len > 0 && (size_t) stmt_len < len - location)
			end = location + stmt_len;

		/* a ";" right before the statement is a real one: neither comment nor literal ends with it */
		if (location > 0 && sql[location - 1] == ';')
			*boundary = location;
		else if (*boundary > location)
			*boundary = 0;

		lx.pos = *boundary;
		lx.len = end;
		if (may_hold_context(sql + lx.pos, end - lx.pos))
			search_statement(&search, &lx, location, boundary);
		else
			*boundary = location;

		lx.pos = end;
		lx.len = len;
		search_tail(&search, &lx);
	}

	if (!search.found)
		return false;
	out->traceparent = search.traceparent;
	if (!decode_value(search.tracestate, out->tracestate, sizeof(out->tracestate),
					  &out->tracestate_len) ||
		w3c_normalize_tracestate(out->tracestate, out->tracestate_len,
								 out->tracestate, &out->tracestate_len) != W3C_OK)
		out->tracestate_len = 0;
	return true;
}
