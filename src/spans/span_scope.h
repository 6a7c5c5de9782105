/*
 * span_scope.h: spans and transactions: which spans end with one, and which are rolled back.
 */
#ifndef OTEL_LINKS_SPAN_SCOPE_H
#define OTEL_LINKS_SPAN_SCOPE_H

#include "postgres.h"
#include "nodes/nodes.h"

/* Registers the callbacks of transactions.  Called by _PG_init. */
extern void span_scope_install(void);

/*
 * Ends the open spans whose scope is over: those with transaction scope, or all when the session
 * ends or is reset.  Warns if any of them is recorded; they are exported as they are.
 */
extern void span_scope_end(bool session);

/* Is the statement DISCARD ALL or RESET ALL?  These end all spans, as the session's end does. */
extern bool span_scope_is_reset(const Node *statement);

#endif
