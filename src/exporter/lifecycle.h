/*
 * lifecycle.h: the exporter's coming and going: guard, transactions, leaving.
 */
#ifndef OTEL_EXPORTER_LIFECYCLE_H
#define OTEL_EXPORTER_LIFECYCLE_H

#include "postgres.h"

#include "compat.h"

/* Connects to the database and takes the guard; does not return when another exporter has it. */
extern void lifecycle_start(Oid database);

/*
 * Starts a transaction with a snapshot.  Does not return when the extension is gone, or when it
 * has changed since the start: then a successor is registered.
 */
extern void lifecycle_begin(void);
extern void lifecycle_commit(void);

/*
 * Have the database's settings changed since the start?  Does not return then when may_leave says
 * that this is a moment to go, but registers a successor: none is where spans that a collector
 * has taken, or is about to, are still in the queue, because they would be sent twice.  In a
 * transaction of lifecycle_begin().
 */
extern bool lifecycle_settings_changed(bool may_leave);

/* After an error.  Does not return when another exporter has taken the guard meanwhile. */
extern void lifecycle_abort(void);

/* Exits when a session waits to drop, copy or rename the database.  Outside transactions. */
extern void lifecycle_yield_database(void);

/* Leaves when the queue is empty; returns when it is not, or a writer is at work. */
extern void lifecycle_leave_if_empty(void);

/* Leaves without a look at the queue: spans are held back. */
pg_noreturn extern void lifecycle_leave(void);

/* Is a session waiting in otel.force_flush()? */
extern bool lifecycle_flush_wanted(void);

#endif
