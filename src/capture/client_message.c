/*
 * client_message.c: which statement of the client's is running, and what can be told of it.
 *
 * The statement is that of the top-level portal: inside FOR … IN, FETCH and SQL EXECUTE, ActivePortal is
 * another.  What a comment says was said when the statement was prepared; which executions it speaks for is
 * decided in running_comment_is_current().
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "commands/prepare.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "capture/client_message.h"
#include "settings.h"

/*
 * The last COMMIT or PREPARE TRANSACTION of a named prepared statement, and what was to be said of it while
 * it had a portal.  When deferred triggers run, it has none any more.
 */
typedef struct EndingStatement
{
	const char *message;
	TimestampTz arrived;
	bool		pooler;			/* running_is_poolers() */
	bool		comment_current;	/* running_comment_is_current() */
} EndingStatement;

static EndingStatement ending;
static ProcessUtility_hook_type prev_process_utility = NULL;

/*
 * Does the portal run the text that debug_query_string points to?  In the simple protocol that is the very
 * string; for Execute it is a copy.  The texts of a message and a portal that were equal once stay so
 * while the message runs, and are compared once: they may be long.
 */
static bool
portal_has_message_copy(Portal portal)
{
	static const char *known_source = NULL;
	static const char *known_message = NULL;
	static TimestampTz known_arrived = 0;
	TimestampTz arrived = GetCurrentStatementStartTimestamp();

	if (known_source == portal->sourceText && known_message == debug_query_string &&
		known_arrived == arrived)
		return true;
	if (portal->sourceText == NULL || strcmp(portal->sourceText, debug_query_string) != 0)
		return false;
	known_source = portal->sourceText;
	known_message = debug_query_string;
	known_arrived = arrived;
	return true;
}

/*
 * The portal of the client's own statement, where ActivePortal is another one, as inside FOR … IN, FETCH and
 * SQL EXECUTE, or has a copy of the message.  Of those that are active it is the one with the message's
 * string; only when there is none, the one with a copy of it: in "DECLARE c …; FETCH c" the cursor has one as
 * well.  NULL when none has.
 */
Portal
running_portal_behind_active(void)
{
	MemoryContext context;
	Portal		with_copy = NULL;

	/* Every portal's context is a child of the same one and has the portal's name as its ident. */
	context = MemoryContextGetParent(ActivePortal->portalContext);
	for (context = context->firstchild; context; context = context->nextchild)
	{
		Portal		portal;

		if (context->ident == NULL || strcmp(context->name, "PortalContext") != 0)
			continue;
		portal = GetPortalByName(strcmp(context->ident, "<unnamed>") == 0 ? "" : context->ident);
		if (!PortalIsValid(portal) || portal->portalContext != context ||
			portal->status != PORTAL_ACTIVE)
			continue;
		if (portal->sourceText == debug_query_string)
			return portal;
		if (portal_has_message_copy(portal))
			with_copy = portal;
	}
	return with_copy;
}

/* Is the message that runs the one that ends the transaction?  Only a named statement is noted there. */
static bool
ending_is_running(void)
{
	return debug_query_string != NULL && ending.message == debug_query_string &&
		ending.arrived == GetCurrentStatementStartTimestamp();
}

/*
 * Is the statement one that a pooler prepared, by its name (otel.pooler_statement_names)?  A pooler prepares
 * a client's statement again on each server, so when that was says nothing about the comment; and what is
 * set for the session may be another client's.
 */
bool
running_is_poolers(Portal portal)
{
	List	   *patterns;
	ListCell   *cell;
	char	   *copy;
	bool		found = false;

	if (portal == NULL)
		return ending_is_running() && ending.pooler;
	if (portal->prepStmtName == NULL)
		return false;
	copy = pstrdup(otel_pooler_statement_names);
	if (SplitGUCList(copy, ',', &patterns))
	{
		foreach(cell, patterns)
		{
			if (DatumGetBool(DirectFunctionCall2Coll(textlike, C_COLLATION_OID,
													 CStringGetTextDatum(portal->prepStmtName),
													 CStringGetTextDatum(lfirst(cell)))))
				found = true;
		}
	}
	list_free(patterns);
	pfree(copy);
	return found;
}

/*
 * Does the statement's comment speak for this execution?  An unnamed statement's does.  A named one's
 * does on its first execution, and when it was prepared in this transaction (so executemany keeps all its
 * rows).  When the statement is gone, or another has its name, nothing can be told: a stale link is worse
 * than none.
 */
bool
running_comment_is_current(Portal portal)
{
	PreparedStatement *prepared;
	CachedPlanSource *source;

	if (portal == NULL)
		return !ending_is_running() || ending.comment_current;
	if (portal->prepStmtName == NULL || portal->prepStmtName[0] == '\0')
		return true;
	prepared = FetchPreparedStatement(portal->prepStmtName, false);
	if (prepared == NULL)
		return false;
	source = prepared->plansource;
	if (source->num_custom_plans + source->num_generic_plans != 1 &&
		prepared->prepare_time < GetCurrentTransactionStartTimestamp())
		return false;
	return strcmp(source->query_string, debug_query_string) == 0;
}

/* Notes what a prepared COMMIT is before it runs, for the rows of deferred triggers. */
static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only_tree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	if (IsA(pstmt->utilityStmt, TransactionStmt) && IsTransactionState())
	{
		Portal		portal = running_portal();

		ending.message = NULL;
		if (portal && portal->prepStmtName && portal->prepStmtName[0] != '\0')
		{
			ending.pooler = running_is_poolers(portal);
			ending.comment_current = running_comment_is_current(portal);
			ending.message = debug_query_string;
			ending.arrived = GetCurrentStatementStartTimestamp();
		}
	}
	if (prev_process_utility)
		prev_process_utility(pstmt, query, read_only_tree, context, params, env, dest, qc);
	else
		standard_ProcessUtility(pstmt, query, read_only_tree, context, params, env, dest, qc);
}

void
running_statement_install(void)
{
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
