/*
 * exporter_guard.h: what backends and the exporter agree on: the locks they meet at and the
 * worker that is registered.
 *
 * The guard is ExclusiveLock on (database, pg_extension, the extension, 1).  The exporter holds
 * it for its session; there is one exporter a database because there is one guard.  A writer
 * probes it with ShareLock without waiting, after its rows are in: the exporter gives the guard
 * up only under a SHARE lock on the queue, that is while no writer is in progress, and leaves if
 * a snapshot taken under that lock shows the queue empty.  So either the exporter sees the rows
 * or the writer sees no exporter.
 *
 * Without the guard a worker is known to nobody, not even when it failed and the postmaster will
 * start it again: every commit then registers another.  What may fail is therefore done with the
 * guard held.
 *
 * The flush lock, number 2, is held in ShareLock by everyone who waits in otel.force_flush(); the
 * exporter looks whether it is held to tell that wish from other reasons to wake.
 */
#ifndef OTEL_LINKS_EXPORTER_GUARD_H
#define OTEL_LINKS_EXPORTER_GUARD_H

#include "postgres.h"
#include "postmaster/bgworker.h"
#include "storage/lock.h"

#define EXPORTER_NAME "otel_links exporter"

/* Nobody wrote: somebody only looks whether rows wait, so it may leave at once. */
#define EXPORTER_RESUME 1

extern void exporter_guard_tag(LOCKTAG *tag, Oid extension);
extern void exporter_flush_tag(LOCKTAG *tag, Oid extension);

/*
 * Does anybody wait for the database to be free, to drop, copy or rename it?  In a transaction,
 * which may then hold the lock that a new connection takes.
 */
extern bool exporter_database_wanted(void);

/* Fills in the worker that exports a database.  flags: 0 or EXPORTER_RESUME. */
extern void exporter_describe(BackgroundWorker *worker, Oid database, int flags);

#endif
