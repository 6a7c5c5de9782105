/*
 * sqlcommenter.h: the trace context in the comments of a SQL statement.
 *
 * Owns which comments belong to a statement of a message, and the key-value grammar inside a comment
 * (SQLCommenter, marginalia); what a comment is, sql_lexer.h knows.  No PostgreSQL header, no allocation,
 * every string comes with its length (none needs a NUL), one pass.
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

/*
 * The context in the comments of one statement of a message; false (and *out undefined) when there is
 * none.  The last valid traceparent wins; the tracestate is the one in the same comment, or none.
 *
 * sql is the whole message as the server parsed it.  stmt_location and stmt_len are those of the
 * statement's PlannedStmt: a location of -1 means unknown, a length of 0 or -1 to the message's end.
 * A statement's comments are those from the ";" before it to its own, and for the last statement also
 * those after its ";".  PostgreSQL 18 begins a statement at its first token, 15 to 17 right after the
 * ";" before it; both will do.  When the location is unknown the message's comments count only if it
 * holds a single statement.
 *
 * standard_conforming_strings is the setting with which the message was parsed.
 *
 * boundary may be NULL.  Else it carries the place after the last ";" found from one call to the next
 * one for a later statement of the same message, so that a message of many statements is read once
 * (PostgreSQL 18 and later would read it from its beginning each time).  0 for a new message.
 */
extern bool sqlcommenter_find(const char *sql, size_t len, int stmt_location, int stmt_len,
							  bool standard_conforming_strings, size_t *boundary,
							  SqlCommenterContext *out);

#endif
