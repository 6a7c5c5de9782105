/*
 * alter_table.c: does ALTER TABLE itself evaluate an expression?
 *
 * ADD COLUMN … DEFAULT otel.current_trace_context() evaluates the default once for all existing
 * rows (or once for each row, if it rewrites the table).  The migration did not make those rows, so
 * they must not be linked to it.  No executor runs then, or only for a SELECT by which a function
 * in the expression computes its value.  Rows that a function or an event trigger inserts meanwhile
 * are the migration's own: ALTER TABLE itself never changes rows through the executor.
 *
 * In the session of a migration, evaluating that default is often what loads the library.  Then
 * none of our hooks saw the ALTER TABLE begin, and none will see it end; but the portal says what
 * it runs.  (An ALTER TABLE inside DO or a function has no portal of its own, so it is not
 * recognized if it is what loads the library.)
 */
#include "postgres.h"

#include "executor/executor.h"
#include "nodes/parsenodes.h"
#include "tcop/pquery.h"
#include "utils/portal.h"

#include "capture/alter_table.h"
#include "compat.h"

bool		alter_table_evaluating = false;

/* alter_table_evaluating was set when the library was loaded, so only the portal can end it. */
static bool loaded_by_alter_table = false;

static ExecutorRun_hook_type next_executor_run = NULL;

static bool
portal_runs_alter_table(void)
{
	ListCell   *lc;

	if (ActivePortal == NULL)
		return false;
	foreach(lc, ActivePortal->stmts)
	{
		PlannedStmt *planned = lfirst_node(PlannedStmt, lc);
		Node	   *utility = planned->utilityStmt;

		if (utility != NULL && IsA(utility, AlterTableStmt))
			return true;
	}
	return false;
}

/* Is alter_table_evaluating, which is true, still right?  Only the inline function calls this. */
bool
alter_table_confirmed(void)
{
	if (loaded_by_alter_table && !portal_runs_alter_table())
		alter_table_evaluating = loaded_by_alter_table = false;
	return alter_table_evaluating;
}

bool
alter_table_enter(const Node *statement, bool *former)
{
	*former = alter_table_is_evaluating();	/* not left over from loading the library */
	alter_table_evaluating = IsA(statement, AlterTableStmt);
	return alter_table_evaluating != *former;
}

void
alter_table_leave(bool former)
{
	alter_table_evaluating = former;
}

static void
executor_run(EXECUTOR_RUN_PARAMETERS)
{
	bool		former = alter_table_evaluating;

	if (!former || (query->operation == CMD_SELECT && !query->plannedstmt->hasModifyingCTE))
	{
		if (next_executor_run)
			next_executor_run(EXECUTOR_RUN_ARGUMENTS);
		else
			standard_ExecutorRun(EXECUTOR_RUN_ARGUMENTS);
		return;
	}
	alter_table_evaluating = false;
	PG_TRY();
	{
		if (next_executor_run)
			next_executor_run(EXECUTOR_RUN_ARGUMENTS);
		else
			standard_ExecutorRun(EXECUTOR_RUN_ARGUMENTS);
	}
	PG_FINALLY();
	{
		alter_table_evaluating = former;
	}
	PG_END_TRY();
}

void
alter_table_install(void)
{
	alter_table_evaluating = loaded_by_alter_table = portal_runs_alter_table();
	next_executor_run = ExecutorRun_hook;
	ExecutorRun_hook = executor_run;
}
