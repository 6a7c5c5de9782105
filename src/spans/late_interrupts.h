/*
 * late_interrupts.h: interrupts that arrive while spans are queued.
 *
 * Without spans such an interrupt would have come when its transaction had committed, or when
 * the other callbacks of the COMMIT had done their work.  Acting on it in the flush, or in a
 * callback that runs later, may split a distributed commit: postgres_fdw, for one, commits the
 * remote side in its own callback, and which of the two runs first depends on which library was
 * loaded first.  So a flush runs with interrupts held, and one that is pending when the flush of
 * a COMMIT ends is put off until the transaction is over, for five seconds at most: what comes
 * after us in a COMMIT may wait for other machines or for a standby.
 */
#ifndef OTEL_LINKS_LATE_INTERRUPTS_H
#define OTEL_LINKS_LATE_INTERRUPTS_H

#include "postgres.h"

/* Before the flush: holds interrupts. */
extern void late_interrupts_hold(void);

/* In PG_CATCH(): holds them again, since ereport(ERROR) released them. */
extern void late_interrupts_hold_again(void);

/* After the flush.  puts_off: what is pending is put off until the transaction is over. */
extern void late_interrupts_resume(bool puts_off);

/* When the transaction is over: what was put off is pending again.  Cannot fail. */
extern void late_interrupts_release(void);

#endif
