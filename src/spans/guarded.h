/*
 * guarded.h: work within the user's transaction that may fail without aborting it.
 */
#ifndef OTEL_LINKS_GUARDED_H
#define OTEL_LINKS_GUARDED_H

#include "postgres.h"

/*
 * Does the work in a subtransaction, in the caller's memory context.  If it raises an error, rolls
 * the subtransaction back and returns a copy of the error, else NULL.  Interrupts must be held
 * (late_interrupts.h), and still are afterwards.
 */
extern ErrorData *guarded_run(void (*work) (void *arg), void *arg);

#endif
