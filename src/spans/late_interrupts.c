/*
 * late_interrupts.c: interrupts that arrive while spans are queued (late_interrupts.h says why).
 *
 * To put an interrupt off, its flag is cleared, so that CHECK_FOR_INTERRUPTS() in other callbacks
 * does not see it.  Holding interrupts during the whole COMMIT would not work: an error resets the
 * count (errfinish), and a callback that waits for another machine could not be interrupted at all.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/timeout.h"

#include "spans/late_interrupts.h"

/* The longest time that an interrupt is put off. */
#define PUT_OFF_MS 5000

/* The flags that have ProcessInterrupts() raise an error or end the session. */
static volatile sig_atomic_t *const flags[] = {
	&QueryCancelPending,		/* pg_cancel_backend, statement_timeout, lock_timeout */
	&ProcDiePending,
	&ClientConnectionLost,
	&CheckClientConnectionPending,
#if PG_VERSION_NUM >= 170000
	&TransactionTimeoutPending,
#endif
};

#define NFLAGS ((int) lengthof(flags))

static volatile sig_atomic_t put_off[NFLAGS];
static volatile sig_atomic_t any_put_off = false;
static uint32 holdoff;
static uint32 cancel_holdoff;

void
late_interrupts_hold(void)
{
	HOLD_INTERRUPTS();
	holdoff = InterruptHoldoffCount;
	cancel_holdoff = QueryCancelHoldoffCount;
}

void
late_interrupts_hold_again(void)
{
	InterruptHoldoffCount = holdoff;
	QueryCancelHoldoffCount = cancel_holdoff;
}

static void
pend_again(void)
{
	for (int i = 0; i < NFLAGS; i++)
	{
		if (put_off[i])
			*flags[i] = true;
		put_off[i] = false;
	}
	any_put_off = false;
	InterruptPending = true;
}

/* A signal handler. */
static void
put_off_too_long(void)
{
	if (!any_put_off)
		return;
	pend_again();
	SetLatch(MyLatch);
}

static TimeoutId
put_off_timeout(void)
{
	static bool registered = false;
	static TimeoutId timeout;

	if (!registered)
		timeout = RegisterTimeout(USER_TIMEOUT, put_off_too_long);
	registered = true;
	return timeout;
}

void
late_interrupts_resume(bool puts_off)
{
	/* The count was reset if a function of an index handled an exception. */
	late_interrupts_hold_again();
	for (int i = 0; i < NFLAGS && puts_off; i++)
	{
		if (!*flags[i])
			continue;
		*flags[i] = false;
		put_off[i] = true;
		any_put_off = true;
	}
	if (any_put_off)
		enable_timeout_after(put_off_timeout(), PUT_OFF_MS);
	RESUME_INTERRUPTS();
}

void
late_interrupts_release(void)
{
	if (!any_put_off)
		return;
	disable_timeout(put_off_timeout(), false);
#if PG_VERSION_NUM >= 170000
	put_off[NFLAGS - 1] = false;	/* the transaction that took too long is over */
#endif
	pend_again();
}
