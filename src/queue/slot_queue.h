/*
 * slot_queue.h: databases whose exporter waits for a free background worker slot.
 *
 * A server may have more databases that record spans than worker slots.  A session that finds none
 * puts its database into this queue.  Whoever comes by next, an exporter at work or a session that
 * starts one, starts the exporter of the database that has waited longest; an exporter that has
 * sent what there was makes room (exporter/worker.c).
 *
 * Raises only for want of memory or of file descriptors.
 */
#ifndef OTEL_LINKS_SLOT_QUEUE_H
#define OTEL_LINKS_SLOT_QUEUE_H

#include "postgres.h"

/* Puts a database into the queue; false when it is in it already. */
extern bool slot_queue_join(Oid database);

/* Is this database in the queue? */
extern bool slot_queue_joined(void);

/* Takes this database out of it: its exporter has started. */
extern void slot_queue_leave(void);

/*
 * Starts exporters for other databases that have waited longer than this one, as far as slots are
 * free.  Returns whether any still waits.  In a transaction.
 */
extern bool slot_queue_serve(void);

typedef enum SlotDemand
{
	SLOTS_SUFFICE,				/* no other database waits */
	SLOT_IS_WANTED,				/* one waits: this exporter should make room */
	SLOT_IS_KEPT				/* one waits, and this exporter stays to start it */
} SlotDemand;

/*
 * What an exporter does now and then: starts others as far as slots are free, and learns whether
 * its own is wanted.  In no transaction.
 */
extern SlotDemand slot_queue_attend(void);

#endif
