/*
 * lock_soon.h: tries for a millisecond to lock a table, index or sequence.  A session at COMMIT
 * never waits longer for a lock.
 */
#ifndef OTEL_LINKS_LOCK_SOON_H
#define OTEL_LINKS_LOCK_SOON_H

#include "postgres.h"

#include "storage/lmgr.h"

/* An exporter that leaves, or a vacuum that truncates the table, locks writers out for a moment. */
#define LOCK_SOON_TRIES 10
#define LOCK_SOON_RETRY_US 100

static inline bool
lock_soon(Oid relid, LOCKMODE mode)
{
	for (int tries = 1; !ConditionalLockRelationOid(relid, mode); tries++)
	{
		if (tries == LOCK_SOON_TRIES)
			return false;
		pg_usleep(LOCK_SOON_RETRY_US);
	}
	return true;
}

#endif
