/*
 * sqlcommenter.h: the trace context in the comments of a SQL statement.
 *
 * Owns which comments belong to which statement of a message, and the key-value grammar inside a
 * comment (SQLCommenter, marginalia).  sql_lexer.h knows what a comment is.  Uses no PostgreSQL
 * header and allocates nothing; every string comes with its length (none needs a NUL).
 */
#ifndef OTEL_LINKS_SQLCOMMENTER_H
#define OTEL_LINKS_SQLCOMMENTER_H

#include <stdbool.h>
#include <stddef.h>

#include "context/w3c.h"

typedef struct SqlCommenterContext
{
	W3cTraceparent traceparent;
	size_t		tracestate_len; /* 0 when the comment has none, or an invalid one */
	char		tracestate[W3C_TRACESTATE_MAX_LEN]; /* decoded and normalised, no NUL */
} SqlCommenterContext;

typedef enum SqlCommenterResult
{
	SQLCOMMENTER_FOUND,
	SQLCOMMENTER_NONE,			/* no comment has the key traceparent */
	SQLCOMMENTER_MALFORMED,		/* the traceparent is invalid; see sqlcommenter_error() */
	SQLCOMMENTER_OTHER_STATEMENT,	/* only other statements have contexts */
	SQLCOMMENTER_TRACES_DIFFER, /* the statement has contexts of several traces */
	SQLCOMMENTER_PLACE_UNKNOWN	/* several contexts, and it is not known where the statement is */
} SqlCommenterResult;

/* A part of the message's text. */
typedef struct SqlCommenterText
{
	const char *text;
	size_t		len;
} SqlCommenterText;

/* What the comments of a part of the message hold. */
typedef struct SqlCommenterSearch
{
	bool		found;
	bool		several;		/* different contexts */
	bool		traces_differ;
	W3cTraceparent traceparent; /* the last one */
	SqlCommenterText tracestate;	/* of the same comment, still encoded */
	W3cError	error;			/* of the last invalid traceparent, or W3C_OK */
} SqlCommenterSearch;

/*
 * A message that is being read.  Made by sqlcommenter_open(); the fields are sqlcommenter.c's own.
 */
typedef struct SqlCommenterMessage
{
	const char *sql;
	size_t		len;
	bool		standard_conforming_strings;
	size_t		boundary;		/* the place after the last ";" before the last statement read */
	SqlCommenterSearch all;		/* its comments up to the second context, if there are several */
	W3cError	error;			/* of the last search */
} SqlCommenterMessage;

/*
 * Begins to read a message.  standard_conforming_strings is the setting with which the server
 * parsed it.  The text is not copied.
 */
extern void sqlcommenter_open(SqlCommenterMessage *message, const char *sql, size_t len,
							  bool standard_conforming_strings);

/*
 * The context that the comments of a message hold for one of its statements; *out is defined only
 * when one is found.
 *
 * If a message has one context, it is that of all its statements: instrumentation writes one
 * comment for one call.  If it has several, each statement has its own comments, from the ";"
 * before it to its own ";"; the last statement also has those after that.  If these have several
 * contexts, the last one counts if all are of one trace; otherwise none counts, because one of them
 * is stale.  The tracestate is that of the same comment, or none.
 *
 * stmt_location and stmt_len are those of the statement's PlannedStmt.  A location of -1 means
 * unknown, and so does a location of 0 without a length if the message has several statements;
 * otherwise a length of 0 or -1 reaches to the message's end.  PostgreSQL 18 begins a statement at
 * its first token, 15 to 17 right after the ";" before it; both are fine.
 *
 * If the statements of a message are asked for in their order, it is read only once or twice.
 */
extern SqlCommenterResult sqlcommenter_find(SqlCommenterMessage *message, int stmt_location,
											int stmt_len, SqlCommenterContext *out);

/* Is there exactly one context in the message, no matter where? */
extern bool sqlcommenter_has_one_context(const SqlCommenterMessage *message);

/* What is wrong with the traceparent, after SQLCOMMENTER_MALFORMED. */
extern W3cError sqlcommenter_error(const SqlCommenterMessage *message);

#endif
