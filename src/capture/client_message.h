/*
 * client_message.h: the client's message that is running, its statement, and whether that
 * statement's comment may be trusted.
 *
 * Owns the identity of a message, the portal and the place of the client's statement, and the rules
 * for prepared statements.  Does not own what the comments say (message_comment.h).
 */
#ifndef OTEL_LINKS_CLIENT_MESSAGE_H
#define OTEL_LINKS_CLIENT_MESSAGE_H

#include "postgres.h"
#include "nodes/pg_list.h"
#include "nodes/plannodes.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "utils/portal.h"

/* Does the comment of the message belong to the request that is running? */
typedef enum MessageTrust
{
	MESSAGE_NOT_JUDGED,
	MESSAGE_TRUSTED,
	MESSAGE_FROM_POOLER,		/* prepared by a pooler, for any of its clients */
	MESSAGE_PREPARED_EARLIER,	/* by an earlier request */
	MESSAGE_STATEMENT_GONE		/* closed, or another one has its name: nothing is known */
} MessageTrust;

/*
 * Where a statement is in the text of its message, as in PlannedStmt; a location of -1 is unknown.
 */
typedef struct StatementPlace
{
	int			location;
	int			length;
} StatementPlace;

#define STATEMENT_PLACE_UNKNOWN ((StatementPlace) {-1, -1})

typedef struct ClientMessage
{
	const char *text;			/* debug_query_string, or NULL when no message is running */
	uint64		serial;			/* no two messages of a session have the same */
	bool		fleeting;		/* its end cannot be noticed, so nothing about it is kept */
	MessageTrust trust;
	Portal		portal;			/* the client's, once it had to be searched for */
	Portal		searched_under; /* the portal that was active when that search found nothing */
	StatementPlace ending;		/* of its last COMMIT or PREPARE TRANSACTION executed */
} ClientMessage;

extern ClientMessage client_message_state;

/* Resets the state, for the message that debug_query_string points to. */
extern void client_message_begin(void);

/* Searches for the client's portal, when ActivePortal, which is valid, may be another one. */
extern Portal client_message_search_portal(void);

/*
 * The message that is running.  This function and the next two are called for every row (inline: 26
 * of 6,500 instructions a row, bench/capture).
 */
static inline const ClientMessage *
client_message(void)
{
	if (client_message_state.text != debug_query_string || client_message_state.fleeting)
		client_message_begin();
	return &client_message_state;
}

/*
 * The portal of the client's statement; NULL when there is none: while a statement of the simple
 * protocol is planned, in the function call protocol, and in background workers.  Call
 * client_message() first.
 */
static inline Portal
client_message_portal(void)
{
	if (debug_query_string == NULL || !PortalIsValid(ActivePortal))
		return NULL;
	if (ActivePortal->sourceText == debug_query_string)
		return ActivePortal;
	return client_message_search_portal();
}

/*
 * The place of the statement that the client's portal runs.  The actions of rules, which may come
 * before it or replace it, have no location.  If portal is NULL, the place of the COMMIT whose
 * deferred triggers run, if any.
 */
static inline StatementPlace
client_message_statement(Portal portal)
{
	ListCell   *cell;

	if (portal == NULL)
		return client_message_state.ending;
	foreach(cell, portal->stmts)
	{
		PlannedStmt *statement = lfirst_node(PlannedStmt, cell);

		if (statement->stmt_location >= 0)
			return (StatementPlace) {statement->stmt_location, statement->stmt_len};
	}
	return STATEMENT_PLACE_UNKNOWN;
}

/*
 * Is the message, whose portal this is, to be trusted?  Decided once for each message.  Call
 * client_message() first.
 */
extern MessageTrust client_message_trust(Portal portal);

/*
 * Called before a utility statement of the client runs: notes what will be gone when deferred
 * triggers run.
 */
extern void client_message_before_utility(const PlannedStmt *statement);

#endif
