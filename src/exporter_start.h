/*
 * exporter_start.h: the backend's side of the exporter's life.  It probes the guard and registers the
 * dynamic background worker; what the worker does is in src/exporter/.
 */
#ifndef OTEL_LINKS_EXPORTER_START_H
#define OTEL_LINKS_EXPORTER_START_H

#include "postgres.h"

/*
 * Starts this database's exporter when none runs.  Called in a transaction, after rows were put into the
 * queue.  Never raises for want of a worker slot: the next call tries again.
 */
extern void exporter_start_if_needed(Oid extension_oid);

/* Sets the latch of this database's exporter, if one runs. */
extern void exporter_wake(void);

#endif
