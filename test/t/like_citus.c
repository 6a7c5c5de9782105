/*
 * like_citus.c: what of Citus matters to otel_links.
 *
 * Its planner forgets where in the message a statement stands, and where it has lost a worker that
 * took part in a transaction, no subtransaction can begin in it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "optimizer/planner.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static char *version;
static bool worker_lost;
static planner_hook_type next_planner;

#if PG_VERSION_NUM >= 190000
#define PLANNER_PARAMETERS \
	Query *parse, const char *query, int options, ParamListInfo params, ExplainState *es
#define PLANNER_ARGUMENTS parse, query, options, params, es
#else
#define PLANNER_PARAMETERS Query *parse, const char *query, int options, ParamListInfo params
#define PLANNER_ARGUMENTS parse, query, options, params
#endif

static PlannedStmt *
planner_without_location(PLANNER_PARAMETERS)
{
	PlannedStmt *plan = next_planner ? next_planner(PLANNER_ARGUMENTS) :
		standard_planner(PLANNER_ARGUMENTS);

	plan->stmt_location = plan->stmt_len = 0;
	return plan;
}

static void
subtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_START_SUB && worker_lost)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("the connection to a worker was lost")));
}

void
_PG_init(void)
{
	DefineCustomStringVariable("citus.version", "As that of Citus.", NULL, &version, "like Citus",
							   PGC_INTERNAL, GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE, NULL, NULL,
							   NULL);
	DefineCustomBoolVariable("like_citus.worker_lost", "Is a worker lost?", NULL, &worker_lost,
							 false, PGC_USERSET, 0, NULL, NULL, NULL);
	next_planner = planner_hook;
	planner_hook = planner_without_location;
	RegisterSubXactCallback(subtransaction, NULL);
}
