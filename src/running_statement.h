/*
 * running_statement.h: the statement of the client's that is running.
 */
#ifndef OTEL_LINKS_RUNNING_STATEMENT_H
#define OTEL_LINKS_RUNNING_STATEMENT_H

#include "postgres.h"
#include "nodes/plannodes.h"
#include "utils/portal.h"

/* The portal of the client's statement; NULL outside of any, as in background workers. */
extern Portal running_portal(void);

/* Its statement, NULL when the portal is NULL or none of its statements stands in the message. */
extern PlannedStmt *running_statement(Portal portal);

/*
 * Was it prepared by a pooler, and does its comment speak for this execution?  For NULL the answer is that of
 * the COMMIT under which deferred triggers run, if it is one.
 */
extern bool running_is_poolers(Portal portal);
extern bool running_comment_is_current(Portal portal);

/* Hooks into ProcessUtility.  From _PG_init only. */
extern void running_statement_install(void);

#endif
