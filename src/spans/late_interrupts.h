/*
 * late_interrupts.h: interrupts that arrive while spans are queued.
 *
 * Without spans, such an interrupt would have arrived after the transaction had committed, or after
 * the other callbacks of the COMMIT had done their work.  Acting on it in the flush, or in a
 * callback that runs later, may split a distributed commit: postgres_fdw, for example, commits the
 * remote side in its own callback, and the library that was loaded first decides which of the two
 * callbacks runs first.  So a flush runs with interrupts held.  If one is pending when the flush of
 * a COMMIT ends, it is put off until the transaction is over, but for no more than five seconds,
 * because the rest of the COMMIT may wait for other machines or for a standby.
 */
#ifndef OTEL_LINKS_LATE_INTERRUPTS_H
#define OTEL_LINKS_LATE_INTERRUPTS_H

#include "postgres.h"

/* Before the flush: holds interrupts. */
extern void late_interrupts_hold(void);

/* In PG_CATCH(): holds them again, because ereport(ERROR) released them. */
extern void late_interrupts_hold_again(void);

/* After the flush.  puts_off: put off pending interrupts until the transaction is over. */
extern void late_interrupts_resume(bool puts_off);

/* When the transaction is over: makes pending again what was put off.  Cannot fail. */
extern void late_interrupts_release(void);

#endif
