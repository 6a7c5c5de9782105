/*
 * counter.h: counts that no rollback takes back.
 */
#ifndef OTEL_LINKS_COUNTER_H
#define OTEL_LINKS_COUNTER_H

#include "postgres.h"

/*
 * Adds to a sequence of the schema otel, whatever the user may.  False when it is locked, and
 * nothing was counted.  Where there is no such sequence there is nobody to tell: true.
 */
extern bool counter_add(const char *sequence, int64 count);

/* The count; 0 where there is no such sequence. */
extern int64 counter_value(const char *sequence);

#endif
