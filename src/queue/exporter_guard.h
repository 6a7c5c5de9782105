/*
 * exporter_guard.h: what sessions and the exporter agree on: two locks, and how the exporter is
 * registered as a worker.
 *
 * The guard is ExclusiveLock on (database, pg_extension, the extension, 1).  The exporter holds it
 * for its session, so there is one exporter in a database.  A writer probes it with ShareLock,
 * without waiting, after its rows are in.  An exporter that leaves because nothing is left to do
 * gives the guard up under a SHARE lock on the queue, that is while no writer is in progress, and
 * leaves only if a snapshot taken under that lock shows the queue empty.  So either the exporter
 * sees the rows, or the writer sees that there is no exporter.
 *
 * Nobody knows of a worker that does not have the guard, even if it failed and the postmaster will
 * start it again: every commit then registers another.  So whatever may fail is done with the
 * guard held.
 *
 * The flush lock, number 2, is held in ShareLock by each session that waits in otel.force_flush();
 * by that the exporter knows why it was woken.
 */
#ifndef OTEL_LINKS_EXPORTER_GUARD_H
#define OTEL_LINKS_EXPORTER_GUARD_H

#include "postgres.h"
#include "postmaster/bgworker.h"
#include "storage/lock.h"

#define EXPORTER_NAME "otel_links exporter"

/* The worker was started in case spans wait, not because one was written: it may leave at once. */
#define EXPORTER_RESUME 1

extern void exporter_guard_tag(LOCKTAG *tag, Oid extension);
extern void exporter_flush_tag(LOCKTAG *tag, Oid extension);

/*
 * Is anybody waiting to drop, copy or rename the database?  Needs a transaction, which then may
 * hold, until its end, the lock that a new connection takes.
 */
extern bool exporter_database_wanted(void);

/* Fills in the worker that exports a database.  flags: 0 or EXPORTER_RESUME. */
extern void exporter_describe(BackgroundWorker *worker, Oid database, int flags);

#endif
