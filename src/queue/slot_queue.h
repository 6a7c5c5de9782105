/*
 * slot_queue.h: databases whose exporter waits for a free background worker slot.
 *
 * A server may have fewer worker slots than databases that record spans.  A session that finds no
 * slot puts its database into this queue.  The exporter of the database that has waited longest is
 * then started by a running exporter, or by a session that is about to start its own.  An exporter
 * that has sent all its spans makes room (exporter/worker.c).
 *
 * Raises only when memory or file descriptors run out, or when a catalog cannot be read.
 */
#ifndef OTEL_LINKS_SLOT_QUEUE_H
#define OTEL_LINKS_SLOT_QUEUE_H

#include "postgres.h"

/* Puts a database into the queue; false when it is in it already. */
extern bool slot_queue_join(Oid database);

/* Is this database in the queue? */
extern bool slot_queue_joined(void);

/* Takes this database out of the queue, because its exporter has started. */
extern void slot_queue_leave(void);

/*
 * Starts exporters for other databases that have waited longer than this one, as long as there are
 * free slots.  Returns whether any still waits for a slot.  Needs a transaction.
 */
extern bool slot_queue_serve(void);

typedef enum SlotDemand
{
	SLOTS_SUFFICE,				/* no other database waits */
	SLOT_IS_WANTED,				/* one waits: this exporter should make room */
	SLOT_IS_KEPT				/* one waits, and this exporter stays to start it */
} SlotDemand;

/*
 * For exporters, now and then: does the same, and says whether this exporter's own slot is wanted.
 * Called outside transactions.
 */
extern SlotDemand slot_queue_attend(void);

#endif
