/*
 * otel_links.c: what happens when the library is loaded, and the library's one ProcessUtility hook.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"

#include "capture/alter_table.h"
#include "capture/capture_settings.h"
#include "capture/client_message.h"
#include "compat.h"
#include "queue/worker_start.h"
#include "settings.h"
#include "spans/prepared_spans.h"
#include "spans/span_scope.h"

OTEL_LINKS_MODULE_MAGIC("otel_links");

void		_PG_init(void);

static ProcessUtility_hook_type next_process_utility = NULL;

static void
run_utility(PlannedStmt *pstmt, const char *query, bool read_only_tree,
			ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *env,
			DestReceiver *dest, QueryCompletion *qc)
{
	if (next_process_utility)
		next_process_utility(pstmt, query, read_only_tree, context, params, env, dest, qc);
	else
		standard_ProcessUtility(pstmt, query, read_only_tree, context, params, env, dest, qc);
}

/* The same, after alter_table_enter() has changed its state. */
static void
run_and_leave(bool former, PlannedStmt *pstmt, const char *query, bool read_only_tree,
			  ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *env,
			  DestReceiver *dest, QueryCompletion *qc)
{
	PG_TRY();
	{
		run_utility(pstmt, query, read_only_tree, context, params, env, dest, qc);
	}
	PG_CATCH();
	{
		alter_table_leave(former);
		PG_RE_THROW();
	}
	PG_END_TRY();
	alter_table_leave(former);
}

/* How many rows of the queue the statement is about to lose, if it is ROLLBACK PREPARED. */
static int64
rows_to_lose(const Node *statement)
{
	const TransactionStmt *transaction = (const TransactionStmt *) statement;

	if (!IsA(statement, TransactionStmt) || transaction->kind != TRANS_STMT_ROLLBACK_PREPARED)
		return 0;
	return prepared_spans_count(transaction->gid);
}

static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *env,
				DestReceiver *dest, QueryCompletion *qc)
{
	/* the statement may be freed when it has run */
	bool		is_reset = span_scope_is_reset(pstmt->utilityStmt);
	int64		rows = rows_to_lose(pstmt->utilityStmt);
	bool		former;

	if (context == PROCESS_UTILITY_TOPLEVEL)
		client_message_before_utility(pstmt);
	if (alter_table_enter(pstmt->utilityStmt, &former))
		run_and_leave(former, pstmt, query, read_only_tree, context, params, env, dest, qc);
	else
		run_utility(pstmt, query, read_only_tree, context, params, env, dest, qc);
	prepared_spans_lost(rows);
	if (is_reset)
		span_scope_end(true);
}

void
_PG_init(void)
{
	capture_settings_define();
	settings_define();			/* last, because it warns of unknown names */
	span_scope_install();
	next_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	alter_table_install();
	if (process_shared_preload_libraries_in_progress)
		exporter_register_launcher();
}
