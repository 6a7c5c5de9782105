/*
 * start_claim.c: one session at a time starts the exporter.
 *
 * The claim is the time at which it was taken, or 0 when nobody has it.  It is kept in the single
 * row of the unlogged sequence otel.exporter_starting: every session of the database sees a change
 * at once, and no rollback undoes it.  Shared memory would need a preloaded library.  The lock on
 * the page makes taking the claim atomic.  After a crash it is 0 again, and the workers are gone.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/sequence.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "queue/start_claim.h"

/* If a worker has not arrived by then, it has failed, and another one may be started. */
#define CLAIM_LASTS_US (5 * USECS_PER_SEC)

/* Opens the sequence; NULL when it is missing, altered or locked. */
static Relation
open_sequence(void)
{
	Oid			schema = get_namespace_oid("otel", true);
	Oid			relid = InvalidOid;
	Relation	sequence;

	if (OidIsValid(schema))
		relid = get_relname_relid("exporter_starting", schema);
	if (!OidIsValid(relid) || !ConditionalLockRelationOid(relid, AccessShareLock))
		return NULL;
	sequence = try_relation_open(relid, NoLock);
	if (sequence == NULL)
	{
		UnlockRelationOid(relid, AccessShareLock);
		return NULL;
	}
	if (sequence->rd_rel->relkind == RELKIND_SEQUENCE && RelationGetNumberOfBlocks(sequence) > 0)
		return sequence;
	relation_close(sequence, AccessShareLock);
	return NULL;
}

/* Returns the row.  Its page stays locked until unlock_row(). */
static Form_pg_sequence_data
lock_row(Relation sequence, Buffer *buffer)
{
	HeapTupleData tuple;
	Page		page;
	ItemId		item;

	*buffer = ReadBuffer(sequence, 0);
	LockBuffer(*buffer, BUFFER_LOCK_EXCLUSIVE);
	page = BufferGetPage(*buffer);
	item = PageGetItemId(page, FirstOffsetNumber);
	tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
	return (Form_pg_sequence_data) GETSTRUCT(&tuple);
}

static void
unlock_row(Relation sequence, Buffer buffer, bool changed)
{
	if (changed)
		MarkBufferDirtyHint(buffer, true);
	UnlockReleaseBuffer(buffer);
	relation_close(sequence, AccessShareLock);
}

bool
start_claim_take(void)
{
	Relation	sequence = open_sequence();
	TimestampTz now = GetCurrentTimestamp();
	Form_pg_sequence_data row;
	Buffer		buffer;
	bool		free;

	if (sequence == NULL)
		return true;
	row = lock_row(sequence, &buffer);
	/* A claim from the future was taken before the clock was set back. */
	free = row->last_value > now || row->last_value < now - CLAIM_LASTS_US;
	if (free)
		row->last_value = now;
	unlock_row(sequence, buffer, free);
	return free;
}

void
start_claim_drop(void)
{
	Relation	sequence = open_sequence();
	Form_pg_sequence_data row;
	Buffer		buffer;

	if (sequence == NULL)
		return;
	row = lock_row(sequence, &buffer);
	row->last_value = 0;
	unlock_row(sequence, buffer, true);
}
