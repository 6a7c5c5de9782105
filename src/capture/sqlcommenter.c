/*
 * sqlcommenter.c: the trace context in the comments of a SQL statement.
 *
 * The lexer finds a statement's comments.  The body of a comment is a list of key-value pairs; a
 * nested comment counts as white space, wherever it is.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* memmem */
#endif
#include <string.h>

#include "capture/sql_lexer.h"
#include "capture/sqlcommenter.h"
#include "context/hex.h"

static const char traceparent_key[] = "traceparent";
static const char tracestate_key[] = "tracestate";

#define TRACEPARENT_KEY_LEN (sizeof(traceparent_key) - 1)
#define TRACESTATE_KEY_LEN (sizeof(tracestate_key) - 1)

/* A traceparent has 55 bytes, or more in a version above 00.  A longer value is invalid. */
#define TRACEPARENT_MAX_LEN 256

/*
 * The text of a comment without the delimiters (so nested comments in it are complete), and how far
 * it was read.
 */
typedef struct Body
{
	const char *text;
	size_t		len;
	size_t		pos;
} Body;

typedef SqlCommenterText Value;

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
 * Reads the value after "=" or ":", still encoded.  After a quote that is not closed, the rest of
 * the comment is skipped, because it may be text, in which no key must be found.
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

	/* text right after a closing quote is not a key */
	while (body->pos < body->len && !at_separator(body))
		body->pos++;
	return value;
}

/* Is there %XX at text + pos? */
static bool
at_percent_code(const char *text, size_t len, size_t pos)
{
	return len - pos >= 3 && text[pos] == '%' &&
		hex_value(text[pos + 1]) >= 0 && hex_value(text[pos + 2]) >= 0;
}

/*
 * Decodes percent-encoding (also with a doubled percent sign, as left by drivers with %s
 * parameters) and backslashes.  False when the result is longer than max.
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

static W3cError
parse_traceparent(Value value, W3cTraceparent *out)
{
	char		decoded[TRACEPARENT_MAX_LEN];
	size_t		len;

	if (!decode_value(value, decoded, sizeof(decoded), &len))
		return W3C_TRACEPARENT_LENGTH;
	return w3c_parse_traceparent(decoded, len, out);
}

static void
search_add(SqlCommenterSearch *search, const W3cTraceparent *traceparent)
{
	if (search->found)
	{
		search->several |= memcmp(&search->traceparent, traceparent, sizeof(*traceparent)) != 0;
		search->traces_differ |= memcmp(search->traceparent.trace_id, traceparent->trace_id,
										W3C_TRACE_ID_SIZE) != 0;
	}
	search->found = true;
	search->traceparent = *traceparent;
	search->tracestate.len = 0;
}

/*
 * Adds the contexts of a comment, whose text comes without the delimiters.  A tracestate belongs to
 * the comment's traceparent if each key occurs once; otherwise nobody can say which ones belong
 * together.
 */
static void
read_comment(SqlCommenterSearch *search, const char *text, size_t len)
{
	Body		body = {text, len, 0};
	Value		tracestate = {text, 0};
	bool		valid = false;
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
			continue;			/* a word that is not a key */
		body.pos++;
		value = read_value(&body);

		if (key_len == TRACEPARENT_KEY_LEN && memcmp(key, traceparent_key, key_len) == 0)
		{
			W3cTraceparent parsed;
			W3cError	error = parse_traceparent(value, &parsed);

			ntraceparent++;
			valid = error == W3C_OK;
			if (valid)
				search_add(search, &parsed);
			else
				search->error = error;
		}
		else if (key_len == TRACESTATE_KEY_LEN && memcmp(key, tracestate_key, key_len) == 0)
		{
			ntracestate++;
			tracestate = value;
		}
	}
	if (valid && ntraceparent == 1 && ntracestate == 1)
		search->tracestate = tracestate;
}

static bool
holds_traceparent(const char *text, size_t len)
{
	return memmem(text, len, traceparent_key, TRACEPARENT_KEY_LEN) != NULL;
}

/*
 * Is there the beginning of a comment, with the key somewhere after it?  They may be in a literal
 * as well.  Few statements without a comment have a "*", for which memchr() searches 10 MB in 0.4
 * ms; memmem() takes 1 to 3 ms for the key (glibc 2.36).
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

/* Adds the contexts of the comment that is the lexer's last event. */
static void
search_comment(SqlCommenterSearch *search, const SqlLexer *lx)
{
	const char *text = lx->sql + lx->event + 2;
	size_t		len = lx->pos - lx->event - 4;

	if (holds_traceparent(text, len))
		read_comment(search, text, len);
}

/*
 * Adds the contexts in the comments of the statement at location, up to lx->len, and in those
 * between it and the ";" before it.  *boundary becomes the place after that ";".
 */
static void
search_statement(SqlCommenterSearch *search, SqlLexer *lx, size_t location, size_t *boundary)
{
	SqlLexerEvent event;

	while ((event = sql_lexer_next(lx)) != SQL_LEXER_END)
	{
		if (event == SQL_LEXER_COMMENT)
			search_comment(search, lx);
		else if (lx->pos <= location)
		{
			/* the comments so far belong to another statement */
			*search = (SqlCommenterSearch) {false};
			*boundary = lx->pos;
		}
	}
}

/* The comments after a statement's ";" belong to it when no other statement follows. */
static void
search_tail(SqlCommenterSearch *search, SqlLexer *lx)
{
	SqlCommenterSearch with_tail = *search;
	SqlLexerEvent event;

	do
	{
		event = sql_lexer_next(lx);
		if (lx->code)
			return;
		if (event == SQL_LEXER_COMMENT)
			search_comment(&with_tail, lx);
	} while (event != SQL_LEXER_END);
	*search = with_tail;
}

/* Adds the contexts of all comments of a message; false when it has several statements. */
static bool
search_only_statement(SqlCommenterSearch *search, SqlLexer *lx)
{
	bool		code = false;
	bool		ended = false;
	SqlLexerEvent event;

	do
	{
		event = sql_lexer_next(lx);
		if (lx->code && ended)
			return false;
		code |= lx->code;
		if (event == SQL_LEXER_COMMENT)
			search_comment(search, lx);
		else
			ended = code;
	} while (event != SQL_LEXER_END);
	return true;
}

/* Adds the contexts in the comments of the statement at location, whose text ends at end. */
static void
search_region(SqlCommenterSearch *search, SqlCommenterMessage *message, size_t location, size_t end)
{
	SqlLexer	lx = {.sql = message->sql, .plain_escapes = !message->standard_conforming_strings};

	/* a ";" right before the statement is a real one, as no comment or literal ends with one */
	if (location > 0 && message->sql[location - 1] == ';')
		message->boundary = location;
	else if (message->boundary > location)
		message->boundary = 0;

	lx.pos = message->boundary;
	lx.len = end;
	search_statement(search, &lx, location, &message->boundary);

	lx.pos = end;
	lx.len = message->len;
	search_tail(search, &lx);
}

void
sqlcommenter_open(SqlCommenterMessage *message, const char *sql, size_t len,
				  bool standard_conforming_strings)
{
	SqlLexer	lx = {.sql = sql, .len = len, .plain_escapes = !standard_conforming_strings};
	SqlLexerEvent event;

	*message = (SqlCommenterMessage)
	{
		.sql = sql,
		.len = len,
		.standard_conforming_strings = standard_conforming_strings
	};
	if (!may_hold_context(sql, len))
		return;
	do
	{
		event = sql_lexer_next(&lx);
		if (event == SQL_LEXER_COMMENT)
			search_comment(&message->all, &lx);
	} while (event != SQL_LEXER_END && !message->all.several);
}

/* The result of a search of the statement's own comments. */
static SqlCommenterResult
judge(SqlCommenterMessage *message, const SqlCommenterSearch *search)
{
	message->error = search->error;
	if (search->traces_differ)
		return SQLCOMMENTER_TRACES_DIFFER;
	if (search->found)
		return SQLCOMMENTER_FOUND;
	if (search->error != W3C_OK)
		return SQLCOMMENTER_MALFORMED;
	return message->all.found ? SQLCOMMENTER_OTHER_STATEMENT : SQLCOMMENTER_NONE;
}

/* Searches the comments of one statement, when the message has several contexts. */
static SqlCommenterResult
find_own(SqlCommenterSearch *search, SqlCommenterMessage *message, int stmt_location, int stmt_len)
{
	size_t		location = stmt_location;
	size_t		end = message->len;

	if (stmt_location < 0 || location > message->len || (location == 0 && stmt_len <= 0))
	{
		SqlLexer	lx = {.sql = message->sql, .len = message->len,
						  .plain_escapes = !message->standard_conforming_strings};

		if (!search_only_statement(search, &lx))
			return SQLCOMMENTER_PLACE_UNKNOWN;
	}
	else
	{
		if (stmt_len > 0 && (size_t) stmt_len < message->len - location)
			end = location + stmt_len;
		search_region(search, message, location, end);
	}
	return judge(message, search);
}

SqlCommenterResult
sqlcommenter_find(SqlCommenterMessage *message, int stmt_location, int stmt_len,
				  SqlCommenterContext *out)
{
	SqlCommenterSearch search = message->all;
	SqlCommenterResult result;

	if (search.several)
	{
		search = (SqlCommenterSearch) {false};
		result = find_own(&search, message, stmt_location, stmt_len);
	}
	else
		result = judge(message, &search);
	if (result != SQLCOMMENTER_FOUND)
		return result;

	out->traceparent = search.traceparent;
	if (!decode_value(search.tracestate, out->tracestate, sizeof(out->tracestate),
					  &out->tracestate_len) ||
		w3c_normalize_tracestate(out->tracestate, out->tracestate_len,
								 out->tracestate, &out->tracestate_len) != W3C_OK)
		out->tracestate_len = 0;
	return SQLCOMMENTER_FOUND;
}

bool
sqlcommenter_has_one_context(const SqlCommenterMessage *message)
{
	return message->all.found && !message->all.several;
}

W3cError
sqlcommenter_error(const SqlCommenterMessage *message)
{
	return message->error;
}
