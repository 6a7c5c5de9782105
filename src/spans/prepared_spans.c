/*
 * prepared_spans.c: the spans that are lost by ROLLBACK PREPARED.
 *
 * Whatever goes wrong here, the user's ROLLBACK PREPARED is done.
 */
#include "postgres.h"

#include "access/twophase.h"
#include "access/xact.h"
#include "access/xlog.h"

#include "queue/prepared_rows.h"
#include "spans/guarded.h"
#include "spans/late_interrupts.h"
#include "spans/prepared_spans.h"
#include "spans/span_exit.h"
#include "spans/span_flush.h"

typedef struct Count
{
	const char *gid;
	int64		rows;
} Count;

static void
count(void *arg)
{
	Count	   *c = arg;

	c->rows = prepared_rows_count(c->gid);
}

int64
prepared_spans_count(const char *gid)
{
	Count		c = {gid, 0};
	ErrorData  *error;

	if (max_prepared_xacts == 0 || IsTransactionBlock() || IsSubTransaction() ||
		RecoveryInProgress())
		return 0;				/* ROLLBACK PREPARED will fail */
	late_interrupts_hold();
	error = guarded_run(count, &c);
	if (error != NULL)
	{
		/* for instance, a page cannot be read */
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("spans of the prepared transaction \"%s\" could not be counted: %s",
						gid, error->message)));
		FreeErrorData(error);
	}
	late_interrupts_resume(false);
	return c.rows;
}

void
prepared_spans_lost(int64 rows)
{
	if (rows == 0)
		return;
	span_exit_init();
	span_flush_add_dropped(rows);
}
