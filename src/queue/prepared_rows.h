/*
 * prepared_rows.h: the rows of otel.span_queue that a prepared transaction holds.
 */
#ifndef OTEL_LINKS_PREPARED_ROWS_H
#define OTEL_LINKS_PREPARED_ROWS_H

#include "postgres.h"

/*
 * How many rows of the queue would be lost by ROLLBACK PREPARED of that transaction; 0 when there
 * is no such transaction in this database.  Waits for no lock and stops counting after
 * PREPARED_ROWS_MS, so it may return too few.  Needs a transaction; raises what reading a table may
 * raise.  Leaves what it allocates in CurrentMemoryContext.
 */
extern int64 prepared_rows_count(const char *gid);

#endif
