/*
 * counter.h: counts that a rollback does not undo.
 */
#ifndef OTEL_LINKS_COUNTER_H
#define OTEL_LINKS_COUNTER_H

#include "postgres.h"

/*
 * Adds to a sequence of the schema otel, whatever the user is allowed to do.  False when the
 * sequence is locked and nothing was counted; true when there is no such sequence.  Needs a
 * transaction; raises what looking up and writing a sequence may raise.
 */
extern bool counter_add(const char *sequence, int64 count);

/* The count; 0 when there is no such sequence.  Needs a transaction. */
extern int64 counter_value(const char *sequence);

#endif
