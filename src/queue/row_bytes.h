/*
 * row_bytes.h: the bytes that spans take, to which otel.queue_max_size applies.  The files are
 * larger, because deleted rows stay in them until vacuum.
 */
#ifndef OTEL_LINKS_ROW_BYTES_H
#define OTEL_LINKS_ROW_BYTES_H

#include "postgres.h"
#include "access/htup.h"
#include "access/tupdesc.h"
#include "utils/rel.h"

/* The bytes of a row, with its values in the TOAST table. */
extern int64 row_bytes(HeapTuple tuple, TupleDesc desc);

/*
 * The bytes of all rows of a table that the active snapshot shows.  Reads the whole table; raises
 * what that and interrupts may raise.
 */
extern int64 row_bytes_of_table(Relation rel);

#endif
