/*
 * span_exit.c: what becomes of a session's spans when the session ends.
 *
 * A client's backend queues the spans that still wait in a transaction of its own: after a failed
 * psql -c, a terminated or vanished client, or a fast shutdown.  It waits no longer than a second
 * for locks, and not at all for a client to read a warning or for a synchronous standby to confirm
 * the commit.
 *
 * After a FATAL error, nothing that PG_CATCH() restores has been restored.  So our transaction must
 * not inherit anything that belongs to the user's work:
 *
 *	kind of process			regular client backends only.  Replication workers (apply, table
 *							synchronization, parallel apply), walsenders, autovacuum and background
 *							workers, such as pg_cron's and pglogical's, handle transactions in their
 *							own way; they exit without ours.
 *	replication origin		if one is set up, there is no transaction: its commit, and from 16 on
 *							its abort, would move the origin beyond a remote transaction that was
 *							never applied.
 *	historic snapshot		of logical decoding: no transaction, as catalogs look as they once did.
 *	isolation, read only,	set to read committed, read write and not deferrable, whatever the
 *	deferrable				defaults are.
 *	synchronous_commit		off.
 *	user, security context,	irrelevant: rows are written below the executor, without permission
 *	session_replication_role	checks, triggers or functions that depend on them.
 *	search_path				irrelevant: nothing is looked up by it.
 *	timeouts, cancels		interrupts are held while a process exits.
 *	the session's other		aborted before, with its savepoints, SET LOCAL, temporary tables,
 *	transaction				notifications and parallel mode.
 *	output					none: the client is gone, or reads the error that ended the session.
 *
 * Spans that cannot be queued are counted in the queue's count of dropped spans, and logged;
 * without a transaction, they are only logged.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "replication/origin.h"
#include "storage/ipc.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "spans/span.h"
#include "spans/span_exit.h"
#include "spans/span_flush.h"
#include "spans/span_scope.h"
#include "spans/unsampled.h"

/* How often an exiting backend tries to lock the queue, every 100 ms. */
#define SPAN_EXIT_TRIES 10

bool		span_exiting = false;

/* Why this process may not run a transaction of ours, or NULL. */
static const char *
reason_against_transaction(void)
{
	if (MyBackendType != B_BACKEND)
		return "This kind of process runs no transaction of its own for them as it exits.";
	if (session_has_replication_origin())
		return "The session has a replication origin set up.";
	if (HistoricSnapshotActive())
		return "The session ended during logical decoding.";
	return NULL;
}

/* How many recorded spans are open. */
static int
open_count(void)
{
	int			count = 0;
	dlist_iter	iter;

	dlist_foreach(iter, &span_open)
		count += dlist_container(Span, node, iter.cur)->recording;
	return count;
}

static void
log_lost(int64 count, const char *detail)
{
	if (count == 0)
		return;
	ereport(LOG,
			(errcode(ERRCODE_WARNING),
			 errmsg_plural("%lld span is lost: it could not be queued when its session ended",
						   "%lld spans are lost: they could not be queued when their session ended",
						   (unsigned long) count, (long long) count),
			 errdetail_internal("%s", detail)));
}

static void
begin_own_transaction(void)
{
	StartTransactionCommand();
	XactReadOnly = false;
	XactIsoLevel = XACT_READ_COMMITTED;
	XactDeferrable = false;
}

/*
 * Counts the spans that the exiting backend could not queue: they are lost.  This runs after
 * queue_at_exit(), even if that raised an error, which nothing can catch in a process that exits.
 */
static void
count_lost_at_exit(int code, Datum arg)
{
	int64		lost;
	bool		counted;

	AbortOutOfAnyTransaction();
	span_flush_drop_waiting();
	lost = span_flush_dropped();
	if (lost == 0)
		return;
	begin_own_transaction();
	counted = span_flush_count_dropped();
	CommitTransactionCommand();
	log_lost(lost, counted ? "The count of dropped spans in otel.export_status includes this." :
			 "This is not counted, since the sequence otel.dropped_spans was locked.");
}

static void
queue_at_exit(void)
{
	bool		busy = true;

	for (int i = 0; i < SPAN_EXIT_TRIES && busy; i++)
	{
		if (i > 0)
			pg_usleep(100 * 1000L);
		begin_own_transaction();
		span_scope_end(true);
		busy = span_flush(FLUSH_EARLY) == FLUSH_BUSY && !dlist_is_empty(&span_waiting);
		CommitTransactionCommand();
	}
}

static void
at_exit(int code, Datum arg)
{
	const char *reason = reason_against_transaction();

	span_exiting = true;
	if (dlist_is_empty(&span_open) && dlist_is_empty(&span_waiting) &&
		span_flush_dropped() + span_flush_early_rows() + unsampled_spans == 0)
		return;
	if (!OidIsValid(MyDatabaseId) || IsParallelWorker())
		return;
	if (reason != NULL)
	{
		log_lost(open_count() + span_waiting_count + span_flush_dropped() +
				 span_flush_early_rows(), reason);
		return;
	}
	AbortOutOfAnyTransaction();
	if (RecoveryInProgress())
		return;
	whereToSendOutput = DestNone;
	synchronous_commit = SYNCHRONOUS_COMMIT_OFF;
	before_shmem_exit(count_lost_at_exit, (Datum) 0);
	queue_at_exit();
}

void
span_exit_init(void)
{
	static bool registered = false;

	/* Not from _PG_init: with a preloaded library, that is in the postmaster, and would be lost. */
	if (!registered)
		before_shmem_exit(at_exit, (Datum) 0);
	registered = true;
}
