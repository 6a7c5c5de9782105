/*
 * exporter_state.h: the row of otel.exporter_state, the state of this database's export.
 *
 * Like the queue's rows, it says where it was made.  The initial copy of a subscription, or a
 * database made from a template, has another database's row as well, which is neither read nor
 * changed.  Only the exporter writes the row.
 */
#ifndef OTEL_LINKS_EXPORTER_STATE_H
#define OTEL_LINKS_EXPORTER_STATE_H

#include "postgres.h"
#include "utils/snapshot.h"

typedef struct ExporterStateChange
{
	int64		exported;		/* added to the counts */
	int64		rejected;
	int64		dropped;
	bool		success;		/* the collector has accepted spans */
	const char *error;			/* a message in any encoding; NULL: there was no error */
	bool		started;		/* an exporter has started, which ends failures to start one */
} ExporterStateChange;

/*
 * Replaces this database's row; there is none before the first change.  Needs a transaction with an
 * active snapshot; raises what reading and writing the table may raise.  Leaves what it allocates
 * in CurrentMemoryContext.
 */
extern void exporter_state_change(const ExporterStateChange *change);

/* How many spans have ever been exported from this database, as the snapshot shows it. */
extern int64 exporter_state_exported(Snapshot snapshot);

/*
 * A message in any encoding, such as a collector's, as a text in this database's encoding, in
 * CurrentMemoryContext.
 */
extern Datum exporter_message_datum(const char *message);

#endif
