/*
 * batch.h: rows of the queue, read and encoded.
 */
#ifndef OTEL_EXPORTER_BATCH_H
#define OTEL_EXPORTER_BATCH_H

#include "postgres.h"
#include "storage/itemptr.h"
#include "exporter/config.h"
#include "exporter/otlp/writer.h"
#include "exporter/resource.h"

/* A row that was read.  A different xmin shows that another row has taken its place since. */
typedef struct BatchRow
{
	ItemPointerData tid;
	TransactionId xmin;
	size_t		end;			/* where its span ends in the encoded spans */
} BatchRow;

typedef struct Batch
{
	BatchRow   *rows;			/* those to be sent, in the order of their spans */
	int			count;
	Writer		spans;
	Envelope	envelope;

	BatchRow   *strays;			/* rows that another server or database recorded: not to be sent */
	int			nstrays;

	BatchRow	damaged;		/* a row that could not be encoded; valid when damage is set */
	const char *damage;			/* why */

	Oid			filenode;		/* of the queue: another one means that rows have moved */
	ItemPointerData first;		/* where it begins */
	ItemPointerData next;		/* where the next batch begins */
	bool		reached_end;	/* was there nothing more to read? */
	bool		stale;			/* nothing was read: the database's settings have changed */
} Batch;

/* The encoded spans of a batch take at most this much, unless a single span is larger. */
#define BATCH_MAX_BYTES (4 * 1024 * 1024)

/*
 * Reads rows from a TID on, up to the configured number and to max_bytes when encoded, in one short
 * transaction.  Everything is in CurrentMemoryContext.  If a row cannot be encoded, the batch is
 * empty but for that row (damaged) and the reason; any other error is raised.  If the database's
 * settings have changed, the process exits where idle says that no request is under way; otherwise
 * nothing is read, and the batch is stale.
 */
extern void batch_read(Batch *batch, const ExporterConfig *config, const ItemPointerData *from,
					   size_t max_bytes, bool idle);

/*
 * From now on batch_read() passes over this row.  Raises an error when there are too many of them.
 */
extern void batch_skip(const BatchRow *row);

/*
 * The same for a while: ms the first time, then twice as long each time.  Returns how often the row
 * has been postponed.
 */
extern int	batch_postpone(const BatchRow *row, long ms);

/*
 * Is there a full batch to be read?  Looks at some blocks around a TID, and now and then at the
 * whole queue.  So it does not matter whether one session wrote the spans or many, and no session
 * needs to count.
 */
extern bool batch_is_full(const ExporterConfig *config, const ItemPointerData *from);

#endif
