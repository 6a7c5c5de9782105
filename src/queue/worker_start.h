/*
 * worker_start.h: starting and waking the exporter from a session.  src/exporter/ has what the
 * worker does.
 */
#ifndef OTEL_LINKS_WORKER_START_H
#define OTEL_LINKS_WORKER_START_H

#include "postgres.h"

/*
 * Starts this database's exporter if none runs.  Called in a transaction, after rows were put into
 * the queue.  Returns whether one runs or will run: false on a standby, with otel.traces_exporter =
 * none, and if no worker slot is free; then the next call tries again.  Raises what catalog
 * look-ups and the count of failures may raise.
 */
extern bool exporter_start_if_needed(Oid extension_oid);

/*
 * Sets the latch of this database's exporter, if one runs, so that it exports at once what it
 * finds.  Only touches shared memory and cannot fail, so it may be called after a transaction has
 * committed.
 */
extern void exporter_wake(void);

/* With shared_preload_libraries: registers the launcher that resumes what waits after a start. */
extern void exporter_register_launcher(void);

#endif
