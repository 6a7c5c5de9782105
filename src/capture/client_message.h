/*
 * client_message.h: the statement of the client's that is running.
 */
#ifndef OTEL_LINKS_CLIENT_MESSAGE_H
#define OTEL_LINKS_CLIENT_MESSAGE_H

#include "postgres.h"
#include "nodes/pg_list.h"
#include "nodes/plannodes.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "utils/portal.h"

/* The client's portal when ActivePortal, which is valid, is not known to be it; see running_portal(). */
extern Portal running_portal_behind_active(void);

/*
 * The portal of the client's statement; NULL outside of any, as while a simple statement is planned, in the
 * function call protocol and in background workers.  This one and the next are asked for every row (inline:
 * 26 of 6,500 instructions a row, bench/capture).
 */
static inline Portal
running_portal(void)
{
	if (debug_query_string == NULL || !PortalIsValid(ActivePortal))
		return NULL;
	if (ActivePortal->sourceText == debug_query_string)
		return ActivePortal;
	return running_portal_behind_active();
}

/*
 * The statement of the message that the portal runs, or NULL.  The actions of rules, which may come before
 * it or in its place, have no location.
 */
static inline PlannedStmt *
running_statement(Portal portal)
{
	ListCell   *cell;

	if (portal == NULL)
		return NULL;
	foreach(cell, portal->stmts)
	{
		PlannedStmt *statement = lfirst_node(PlannedStmt, cell);

		if (statement->stmt_location >= 0)
			return statement;
	}
	return NULL;
}

/*
 * Was it prepared by a pooler, and does its comment speak for this execution?  For NULL the answer is that of
 * the COMMIT under which deferred triggers run, if it is one.
 */
extern bool running_is_poolers(Portal portal);
extern bool running_comment_is_current(Portal portal);

/* Hooks into ProcessUtility.  From _PG_init only. */
extern void running_statement_install(void);

#endif
