/*
 * unsampled.c: how many spans a sampler left out.
 */
#include "postgres.h"

#include "monotonic.h"
#include "queue/counter.h"
#include "spans/span_exit.h"
#include "spans/unsampled.h"

int64		unsampled_spans = 0;

static int64 next_report = 0;	/* monotonic_us(); the first is due at once */

bool
unsampled_is_due(void)
{
	return unsampled_spans > 0 && (span_exiting || monotonic_us() >= next_report);
}

void
unsampled_report(void)
{
	next_report = monotonic_us() + UNSAMPLED_INTERVAL_MS * INT64CONST(1000);
	if (counter_add("not_sampled_spans", unsampled_spans))
		unsampled_spans = 0;
}
