/*
 * retry.c: when to try again after a failure.
 */
#include "postgres.h"

#include "common/pg_prng.h"

#include "exporter/retry.h"
#include "monotonic.h"

/* The wait before jitter: doubled with each failure in a row, from the first to the second. */
#define BACK_OFF_MIN_MS 1000
#define BACK_OFF_MAX_MS 60000

/* force_flush() triggers at most one attempt in this time. */
#define FLUSH_INTERVAL_MS 1000

static int	failures;			/* in a row */
static int64 retry_at;			/* monotonic_ms(); 0: at once */
static int64 not_before;		/* not even for force_flush() */

void
retry_schedule(bool spans_stayed, long retry_after_ms)
{
	int64		now = monotonic_ms();
	double		ms = BACK_OFF_MAX_MS;

	if (failures < 6)
		ms = Min(ms, BACK_OFF_MIN_MS << failures);
	failures++;
	ms *= 0.5 + 0.5 * pg_prng_double(&pg_global_prng_state);
	ms = Max(ms, retry_after_ms);
	retry_at = now + (int64) ms;
	not_before = spans_stayed ? now + Max(retry_after_ms, FLUSH_INTERVAL_MS) : retry_at;
}

bool
retry_is_scheduled(void)
{
	return retry_at != 0;
}

void
retry_at_once(void)
{
	retry_at = 0;
}

void
retry_forget_failures(void)
{
	failures = 0;
}

int64
retry_wait_ms(void)
{
	int64		now = monotonic_ms();

	return Max((now < not_before ? Min(not_before, retry_at) : retry_at) - now, 0);
}

bool
retry_is_due(bool (*flush_wanted) (void))
{
	int64		now = monotonic_ms();

	return now >= retry_at || (now >= not_before && flush_wanted());
}
