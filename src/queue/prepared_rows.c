/*
 * prepared_rows.c: the rows of otel.span_queue that a prepared transaction holds.
 *
 * ROLLBACK PREPARED may come from any session, long after the one that recorded the spans is gone,
 * and an extension can store nothing with a prepared transaction.  But the rows are there until it
 * is rolled back, and their xmin says whose they are.
 *
 * Most prepared transactions have no span.  Those that have one hold a lock on the queue, so the
 * table is only read for them.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/subtrans.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/twophase.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "monotonic.h"
#include "queue/prepared_rows.h"
#include "queue/span_queue.h"

/*
 * The longest that counting delays a ROLLBACK PREPARED.  Reading 2 million rows (484 MB, in memory)
 * took 240 to 380 ms; a ROLLBACK PREPARED without a row in the queue took 2 ms.
 */
#define PREPARED_ROWS_MS 500

/* How many rows are read between two looks at the clock. */
#define ROWS_PER_LOOK 256

/* The columns of pg_prepared_xact() */
enum
{
	PREPARED_XID = 1,
	PREPARED_GID,
	PREPARED_DATABASE = 5
};

/* The transaction of a row of pg_prepared_xact(), if it has this name and is in this database. */
static TransactionId
matching_xid(HeapTupleHeader row, const char *gid)
{
	bool		isnull;
	Datum		xid = GetAttributeByNum(row, PREPARED_XID, &isnull);
	Datum		row_gid = GetAttributeByNum(row, PREPARED_GID, &isnull);
	Datum		database = GetAttributeByNum(row, PREPARED_DATABASE, &isnull);

	if (DatumGetObjectId(database) != MyDatabaseId ||
		strcmp(TextDatumGetCString(row_gid), gid) != 0)
		return InvalidTransactionId;
	return DatumGetTransactionId(xid);
}

/* The prepared transaction of that name in this database, or InvalidTransactionId. */
static TransactionId
find_prepared(const char *gid)
{
	LOCAL_FCINFO(fcinfo, 0);
	FmgrInfo	flinfo;
	ReturnSetInfo rsinfo = {.type = T_ReturnSetInfo, .allowedModes = SFRM_ValuePerCall};
	TransactionId xid = InvalidTransactionId;

	rsinfo.econtext = CreateStandaloneExprContext();
	fmgr_info(F_PG_PREPARED_XACT, &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, 0, InvalidOid, NULL, (Node *) &rsinfo);
	while (!TransactionIdIsValid(xid))
	{
		Datum		row = FunctionCallInvoke(fcinfo);

		if (rsinfo.isDone != ExprMultipleResult)
			break;
		xid = matching_xid(DatumGetHeapTupleHeader(row), gid);
	}
	FreeExprContext(rsinfo.econtext, true);
	return xid;
}

/* Does the prepared transaction hold the lock on the queue that appending to it takes? */
static bool
holds_queue(TransactionId xid, Oid queue)
{
	LOCKTAG		tag;
	int			nholders;
	VirtualTransactionId *holders;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, queue);
	holders = GetLockConflicts(&tag, ShareLock, &nholders);
	for (int i = 0; i < nholders; i++)
	{
		bool		have_more = false;

		if (VirtualTransactionIdIsRecoveredPreparedXact(holders[i]) ?
			holders[i].localTransactionId == xid :
			TwoPhaseGetXidByVirtualXID(holders[i], &have_more) == xid || have_more)
			return true;
	}
	return false;
}

/*
 * Did the transaction, or a subtransaction of it, insert the row?  Its subtransactions' ids follow
 * its own.  pg_subtrans is asked about no others, because it may have been truncated before that.
 */
static bool
inserted_by(HeapTuple row, TransactionId xid)
{
	TransactionId xmin = HeapTupleHeaderGetRawXmin(row->t_data);

	if (HeapTupleHeaderXminCommitted(row->t_data) || HeapTupleHeaderXminInvalid(row->t_data) ||
		!TransactionIdIsNormal(xmin) || TransactionIdPrecedes(xmin, xid))
		return false;
	return xmin == xid || SubTransGetTopmostTransaction(xmin) == xid;
}

/*
 * Reads from the end backwards: in a long queue, recent rows are there.  allow_sync is off, because
 * such a scan might begin where another one has come to.
 */
static int64
count_rows(Relation queue, TransactionId xid)
{
	int64		deadline = monotonic_ms() + PREPARED_ROWS_MS;
	TableScanDesc scan = table_beginscan_strat(queue, SnapshotAny, 0, NULL, true, false);
	HeapTuple	row;
	int64		count = 0;

	for (int64 seen = 1; (row = heap_getnext(scan, BackwardScanDirection)) != NULL; seen++)
	{
		if (inserted_by(row, xid))
			count++;
		if (seen % ROWS_PER_LOOK == 0 && monotonic_ms() > deadline)
			break;
	}
	table_endscan(scan);
	return count;
}

int64
prepared_rows_count(const char *gid)
{
	Oid			relid = queue_find();
	TransactionId xid = OidIsValid(relid) ? find_prepared(gid) : InvalidTransactionId;
	Snapshot	snapshot;
	Relation	queue;
	int64		count;

	if (!TransactionIdIsValid(xid) || !holds_queue(xid, relid) ||
		!ConditionalLockRelationOid(relid, AccessShareLock))
		return 0;
	queue = table_open(relid, NoLock);
	/* SubTransGetTopmostTransaction() relies on the horizon that a snapshot sets. */
	snapshot = RegisterSnapshot(GetCatalogSnapshot(relid));
	count = count_rows(queue, xid);
	UnregisterSnapshot(snapshot);
	table_close(queue, AccessShareLock);
	return count;
}
