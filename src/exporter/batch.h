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

/* A row that was read.  xmin tells whether another row has taken its place since. */
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

/* The requests of a batch are at most this large, unless a single span is larger. */
#define BATCH_MAX_BYTES (4 * 1024 * 1024)

/*
 * Reads rows from a TID on, up to the configured number and max_bytes encoded, in one short
 * transaction. Everything is in CurrentMemoryContext.  A row that cannot be encoded ends the
 * batch and is named in it. When the database's settings have changed, does not return where idle
 * says that no request is under way, and else reads nothing.
 */
extern void batch_read(Batch *batch, const ExporterConfig *config, const ItemPointerData *from,
					   size_t max_bytes, bool idle);

/* From now on batch_read() passes over this row. */
extern void batch_skip(const BatchRow *row);

/*
 * The same for a while, twice as long each time; returns how often that has been asked for this
 * row.
 */
extern int	batch_postpone(const BatchRow *row, long ms);

/*
 * Is there a full batch to be read?  Looks at as many blocks around a TID, and at the queue's
 * start, as a few batches have: whoever fills it, a session or many, is seen without anybody
 * counting.
 */
extern bool batch_is_full(const ExporterConfig *config, const ItemPointerData *from);

#endif
