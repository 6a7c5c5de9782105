/*
 * sql_lexer.h: PostgreSQL's lexical rules, as far as they tell a block comment from everything
 * else.
 *
 * Owns the walk over a message of statements.  Uses no PostgreSQL header, allocates nothing and
 * reads no byte beyond the length.  Multi-byte text need not be decoded: in every server encoding,
 * the bytes of a character beyond ASCII have the high bit set.
 */
#ifndef OTEL_LINKS_SQL_LEXER_H
#define OTEL_LINKS_SQL_LEXER_H

#include <stdbool.h>
#include <stddef.h>

/* Positions are offsets into sql; a position equal to len is the end. */
typedef struct SqlLexer
{
	const char *sql;
	size_t		len;
	size_t		pos;
	bool		plain_escapes;	/* is \' an escape in plain literals? */
	bool		code;			/* was there code between the last two events? */
	size_t		event;			/* where the last event begins */
} SqlLexer;

typedef enum SqlLexerEvent
{
	SQL_LEXER_COMMENT,			/* a block comment: from event to pos, with its delimiters */
	SQL_LEXER_SEMICOLON,
	SQL_LEXER_END
} SqlLexerEvent;

/*
 * Moves on to behind the next event, from a place between two tokens.  A comment without an end is
 * not an event; what is in it is skipped.
 */
extern SqlLexerEvent sql_lexer_next(SqlLexer *lx);

/* The end of the block comment that begins at text + pos, or 0 when it is not terminated. */
extern size_t sql_block_comment_end(const char *text, size_t len, size_t pos);

/* scan.l's {space}.  PostgreSQL 15 refuses \v, so it can be treated as in 16 and later. */
static inline bool
sql_is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

#endif
