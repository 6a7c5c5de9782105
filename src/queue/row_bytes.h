/*
 * row_bytes.h: what counts where otel.queue_max_size bounds spans: their bytes, not those of the
 * files, in which there are also rows that were deleted and wait for vacuum.
 */
#ifndef OTEL_LINKS_ROW_BYTES_H
#define OTEL_LINKS_ROW_BYTES_H

#include "postgres.h"
#include "access/htup.h"
#include "access/tupdesc.h"
#include "utils/rel.h"

/* The bytes of a row, those that are toasted outside of it included. */
extern int64 row_bytes(HeapTuple tuple, TupleDesc desc);

/* The bytes of all rows of a table that the active snapshot shows.  Reads the whole table. */
extern int64 row_bytes_of_table(Relation rel);

#endif
