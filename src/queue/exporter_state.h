/*
 * exporter_state.h: the row of otel.exporter_state, which says how export goes in this database.
 *
 * It carries its origin, as the queue's rows do: the initial copy of a subscription, or a database
 * made from a template, brings another's along, which is neither read nor changed.  Only the
 * exporter writes it.
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
	bool		success;		/* a collector has taken spans */
	const char *error;			/* somebody's words, in any encoding; NULL: nothing went wrong */
	bool		started;		/* failures to start an exporter are a thing of the past */
} ExporterStateChange;

/* Replaces this database's row; there is none before the first change.  In a transaction. */
extern void exporter_state_change(const ExporterStateChange *change);

/* How many spans this database's exporter has exported in its life, as the snapshot shows it. */
extern int64 exporter_state_exported(Snapshot snapshot);

/* Somebody else's words, such as a collector's, as a text of this database. */
extern Datum exporter_message_datum(const char *message);

#endif
