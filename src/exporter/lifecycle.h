/*
 * lifecycle.h: how the exporter starts, ends, and opens its transactions.
 */
#ifndef OTEL_EXPORTER_LIFECYCLE_H
#define OTEL_EXPORTER_LIFECYCLE_H

#include "postgres.h"

#include "compat.h"

/*
 * Connects to the database and takes the guard.  Exits when another exporter has it, when the
 * extension is not installed, and after any error.
 */
extern void lifecycle_start(Oid database);

/*
 * Starts a transaction with a snapshot.  Exits when the extension is gone.  When it has changed
 * since the start (ALTER EXTENSION), registers a successor and exits.
 */
extern void lifecycle_begin(void);

/* Ends it and reports statistics.  Like the above, leaves CurrentMemoryContext to the caller. */
extern void lifecycle_commit(void);

/*
 * Have the database's settings changed since the start?  If so, and may_leave is true, registers a
 * successor and exits.  It may not leave while requests are under way: their spans are still in the
 * queue and would be sent twice.  Called in a transaction of lifecycle_begin().
 */
extern bool lifecycle_settings_changed(bool may_leave);

/*
 * After an error: aborts the transaction and takes the guard again.  Exits when another exporter
 * has it by then.
 */
extern void lifecycle_abort(void);

/* Exits when a session waits to drop, copy or rename the database.  Called outside transactions. */
extern void lifecycle_yield_database(void);

/* Exits when the queue is empty; returns when it is not, or when a writer is at work. */
extern void lifecycle_leave_if_empty(void);

/* Exits without looking at the queue: for otel.traces_exporter = none, which holds spans back. */
pg_noreturn extern void lifecycle_leave(void);

/* Is a session waiting in otel.force_flush()? */
extern bool lifecycle_flush_wanted(void);

#endif
