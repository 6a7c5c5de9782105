/*
 * monotonic.h: time that only moves forward, for deadlines and pauses.
 *
 * The wall clock may be set back by hours, and a deadline computed from it would then be hours
 * away.  Timestamps that people read or that are compared with rows use the wall clock.
 */
#ifndef OTEL_LINKS_MONOTONIC_H
#define OTEL_LINKS_MONOTONIC_H

#include "postgres.h"
#include "portability/instr_time.h"

/* Microseconds since some moment before the server's start; never 0, so 0 can mean "not set". */
static inline int64
monotonic_us(void)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MICROSEC(now) + 1;
}

static inline int64
monotonic_ms(void)
{
	return monotonic_us() / 1000 + 1;
}

#endif
