/*
 * start_claim.h: one session at a time starts the exporter.
 *
 * Between the moment when a session registers the worker and the moment when the worker takes the
 * guard (exporter_guard.h), everybody who commits finds the guard free.  A claim keeps them from
 * registering another each: it is taken before a worker is registered and dropped by the worker
 * once it has the guard, or before it tries a last time to take it.  Whoever finds a claim may
 * therefore rely on a worker that has not looked at the queue yet.  A worker that never arrives
 * leaves a claim that expires.
 */
#ifndef OTEL_LINKS_START_CLAIM_H
#define OTEL_LINKS_START_CLAIM_H

#include "postgres.h"

/*
 * Takes the claim; false when another session has it.  Waits for no lock.  Where the claim cannot
 * be read, because somebody altered or locked otel.exporter_starting, every session may start a
 * worker.
 */
extern bool start_claim_take(void);

/* Drops it, whoever took it. */
extern void start_claim_drop(void);

#endif
