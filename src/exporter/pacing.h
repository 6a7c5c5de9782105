/*
 * pacing.h: how often work that reads a whole table is done.
 *
 * Our tables have no index, so some work reads whole tables.  It may take a twentieth of the time:
 * after each round, it rests twenty times as long as the round took.
 */
#ifndef OTEL_EXPORTER_PACING_H
#define OTEL_EXPORTER_PACING_H

#include "postgres.h"

#include "monotonic.h"

#define PACING_REST_FACTOR 20

/* Zeroed at first, so that the work is due. */
typedef struct Pacing
{
	int64		began;			/* monotonic_us() */
	int64		due;
} Pacing;

static inline bool
pacing_is_due(const Pacing *pacing)
{
	return monotonic_us() >= pacing->due;
}

static inline void
pacing_begin(Pacing *pacing)
{
	pacing->began = monotonic_us();
}

/* The work is done, and took this long. */
static inline void
pacing_rest(Pacing *pacing, int64 spent_us)
{
	pacing->due = monotonic_us() + spent_us * PACING_REST_FACTOR;
}

/* The work since pacing_begin() is done. */
static inline void
pacing_end(Pacing *pacing)
{
	pacing_rest(pacing, monotonic_us() - pacing->began);
}

#endif
