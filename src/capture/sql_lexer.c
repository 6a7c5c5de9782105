/*
 * sql_lexer.c: PostgreSQL's lexical rules, as far as they tell a block comment from everything
 * else.
 *
 * Walks a message as scan.l does, but distinguishes no more than it must: block comments,
 * semicolons, and code.  String literals, dollar quotes and quoted identifiers are code, so nothing
 * inside them is taken for a comment.  Line comments are skipped.  Text that scan.l or the grammar
 * would refuse is never part of a running statement, so it may be read in any way that stays inside
 * the buffer.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* memmem */
#endif
#include <string.h>

#include "capture/sql_lexer.h"

static inline bool
is_newline(char c)
{
	return c == '\n' || c == '\r';
}

static inline bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* scan.l's {ident_start}, and {dolq_start} */
static inline bool
is_ident_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}

static inline bool
looking_at(const SqlLexer *lx, size_t pos, char first, char second)
{
	return lx->len - pos >= 2 && lx->sql[pos] == first && lx->sql[pos + 1] == second;
}

static size_t
skip_line(const SqlLexer *lx, size_t pos)
{
	while (pos < lx->len && !is_newline(lx->sql[pos]))
		pos++;
	return pos;
}

size_t
sql_block_comment_end(const char *text, size_t len, size_t pos)
{
	size_t		depth = 1;

	for (pos += 2; len - pos >= 2;)
	{
		if (text[pos] == '/' && text[pos + 1] == '*')
		{
			depth++;
			pos += 2;
		}
		else if (text[pos] == '*' && text[pos + 1] == '/')
		{
			pos += 2;
			if (--depth == 0)
				return pos;
		}
		else
			pos++;
	}
	return 0;
}

/*
 * scan.l's {quotecontinue}: the literal that ended at pos goes on, in the same mode, after white
 * space with a newline (line comments are allowed) and another quote.  Returns the place after that
 * quote, or 0.
 */
static size_t
literal_continuation(const SqlLexer *lx, size_t pos)
{
	bool		newline = false;

	while (pos < lx->len)
	{
		if (sql_is_space(lx->sql[pos]))
			newline |= is_newline(lx->sql[pos++]);
		else if (looking_at(lx, pos, '-', '-'))
			pos = skip_line(lx, pos);
		else
			break;
	}
	return newline && pos < lx->len && lx->sql[pos] == '\'' ? pos + 1 : 0;
}

/* The place of the next quote that is not escaped, or len. */
static size_t
find_quote(const SqlLexer *lx, size_t pos, bool escapes)
{
	if (!escapes)
	{
		const char *quote = memchr(lx->sql + pos, '\'', lx->len - pos);

		return quote ? (size_t) (quote - lx->sql) : lx->len;
	}

	while (pos < lx->len && lx->sql[pos] != '\'')
		pos += lx->sql[pos] == '\\' && pos + 1 < lx->len ? 2 : 1;
	return pos;
}

/* pos is after the opening quote; returns the place after the closing one. */
static size_t
skip_literal(const SqlLexer *lx, size_t pos, bool escapes)
{
	for (;;)
	{
		size_t		next;

		pos = find_quote(lx, pos, escapes);
		if (pos == lx->len)
			return pos;
		if (looking_at(lx, pos, '\'', '\''))
			pos += 2;
		else if ((next = literal_continuation(lx, pos + 1)) != 0)
			pos = next;
		else
			return pos + 1;
	}
}

/* "a""b" is read as two identifiers, which makes no difference here. */
static size_t
skip_quoted_identifier(const SqlLexer *lx, size_t pos)
{
	const char *quote = memchr(lx->sql + pos + 1, '"', lx->len - pos - 1);

	return quote ? (size_t) (quote - lx->sql) + 1 : lx->len;
}

/* A dollar quote, a parameter ($1) or a stray dollar sign. */
static size_t
skip_dollar(const SqlLexer *lx, size_t pos)
{
	size_t		end = pos + 1;
	const char *close;

	if (end < lx->len && is_ident_start(lx->sql[end]))
		while (end < lx->len && (is_ident_start(lx->sql[end]) || is_digit(lx->sql[end])))
			end++;
	if (end == lx->len || lx->sql[end] != '$')
		return pos + 1;
	end++;

	/* delimiters cannot overlap in a way that scan.l and memmem would treat differently */
	close = memmem(lx->sql + end, lx->len - end, lx->sql + pos, end - pos);
	return close ? (size_t) (close - lx->sql) + (end - pos) : lx->len;
}

/* An identifier or key word, or a literal whose prefix is one. */
static size_t
skip_word(const SqlLexer *lx, size_t pos)
{
	size_t		end = pos + 1;

	while (end < lx->len && (is_ident_start(lx->sql[end]) || is_digit(lx->sql[end]) ||
							 lx->sql[end] == '$'))
		end++;

	/* N'' and U&'' need no case of their own: their quotes are like those of plain literals */
	if (end == pos + 1 && end < lx->len && lx->sql[end] == '\'')
	{
		switch (lx->sql[pos])
		{
			case 'e':
			case 'E':
				return skip_literal(lx, end + 1, true);
			case 'b':
			case 'B':
			case 'x':
			case 'X':
				return skip_literal(lx, end + 1, false);
		}
	}
	return end;
}

/* Unlike a word, a number ends at a dollar sign: 1$$a$$ is a number and a dollar quote. */
static size_t
skip_number(const SqlLexer *lx, size_t pos)
{
	while (pos < lx->len && (is_digit(lx->sql[pos]) || is_ident_start(lx->sql[pos])))
		pos++;
	return pos;
}

static size_t
skip_code(const SqlLexer *lx, size_t pos)
{
	char		c = lx->sql[pos];

	if (is_ident_start(c))
		return skip_word(lx, pos);
	if (is_digit(c))
		return skip_number(lx, pos);
	if (c == '\'')
		return skip_literal(lx, pos + 1, lx->plain_escapes);
	if (c == '"')
		return skip_quoted_identifier(lx, pos);
	if (c == '$')
		return skip_dollar(lx, pos);
	return pos + 1;
}

SqlLexerEvent
sql_lexer_next(SqlLexer *lx)
{
	lx->code = false;
	while (lx->pos < lx->len)
	{
		lx->event = lx->pos;
		if (sql_is_space(lx->sql[lx->pos]))
			lx->pos++;
		else if (looking_at(lx, lx->pos, '-', '-'))
			lx->pos = skip_line(lx, lx->pos);
		else if (looking_at(lx, lx->pos, '/', '*'))
		{
			size_t		end = sql_block_comment_end(lx->sql, lx->len, lx->pos);

			lx->pos = end ? end : lx->len;
			if (end)
				return SQL_LEXER_COMMENT;
		}
		else if (lx->sql[lx->pos] == ';')
		{
			lx->pos++;
			return SQL_LEXER_SEMICOLON;
		}
		else
		{
			lx->code = true;
			lx->pos = skip_code(lx, lx->pos);
		}
	}
	lx->event = lx->len;
	return SQL_LEXER_END;
}
