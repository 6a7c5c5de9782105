/*
 * worker_start.h: the backend's side of the exporter's life.  It probes the guard and registers the
 * dynamic background worker; what the worker does is in src/exporter/.
 */
#ifndef OTEL_LINKS_WORKER_START_H
#define OTEL_LINKS_WORKER_START_H

#include "postgres.h"

/*
 * Starts this database's exporter when none runs.  Called in a transaction, after rows were put
 * into the queue.  Never raises for want of a worker slot: the next call tries again.  Returns
 * whether one runs or will: false where none may (otel.traces_exporter = none) or no slot is
 * free.
 */
extern bool exporter_start_if_needed(Oid extension_oid);

/*
 * Sets the latch of this database's exporter, if one runs: it then exports at once what it finds.
 * Touches shared memory only and cannot fail, so that it may be called once a transaction has
 * committed.
 */
extern void exporter_wake(void);

/* With shared_preload_libraries: registers the launcher that resumes what waits after a start. */
extern void exporter_register_launcher(void);

#endif
