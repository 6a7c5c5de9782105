/*
 * alter_table.h: does ALTER TABLE itself evaluate an expression?
 */
#ifndef OTEL_LINKS_ALTER_TABLE_H
#define OTEL_LINKS_ALTER_TABLE_H

#include "postgres.h"
#include "nodes/plannodes.h"

extern bool alter_table_evaluating;
extern bool alter_table_confirmed(void);

/*
 * True while ALTER TABLE evaluates defaults and USING expressions for existing rows.  False in
 * queries and utility statements that it causes, such as those of functions and event triggers.
 */
static inline bool
alter_table_is_evaluating(void)
{
	return alter_table_evaluating && alter_table_confirmed();
}

/*
 * Called around every utility statement.  enter returns whether the state changed; if so, leave
 * must be called with the former state, even after an error.
 */
extern bool alter_table_enter(const Node *statement, bool *former);
extern void alter_table_leave(bool former);

/* Hooks into ExecutorRun.  Called by _PG_init. */
extern void alter_table_install(void);

#endif
