/*
 * alter_table.c: does ALTER TABLE itself evaluate an expression?
 *
 * ADD COLUMN … DEFAULT otel.current_trace_context() evaluates the default once for all rows that
 * are there (or once for each, when it rewrites the table).  Those rows are not of the migration's
 * making, so they must not be linked to it.  There is no executor running then, which tells this
 * from the queries of functions that the ALTER TABLE calls.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "nodes/parsenodes.h"

#include "capture/alter_table.h"
#include "compat.h"

bool		alter_table_evaluating = false;

static ExecutorRun_hook_type next_executor_run = NULL;

bool
alter_table_enter(const Node *statement, bool *former)
{
	*former = alter_table_evaluating;
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

	alter_table_evaluating = false;
	if (!former)
	{
		if (next_executor_run)
			next_executor_run(EXECUTOR_RUN_ARGUMENTS);
		else
			standard_ExecutorRun(EXECUTOR_RUN_ARGUMENTS);
		return;
	}
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
	next_executor_run = ExecutorRun_hook;
	ExecutorRun_hook = executor_run;
}
