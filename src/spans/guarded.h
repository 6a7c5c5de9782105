/*
 * guarded.h: work within the user's transaction that may fail and must not cost it.
 */
#ifndef OTEL_LINKS_GUARDED_H
#define OTEL_LINKS_GUARDED_H

#include "postgres.h"

/*
 * Does the work in a subtransaction, in the caller's memory context.  Returns NULL, or a copy of
 * the error that it raised, once the subtransaction is rolled back.  Interrupts are held
 * (late_interrupts.h), and are so again after an error.
 */
extern ErrorData *guarded_run(void (*work) (void *arg), void *arg);

#endif
