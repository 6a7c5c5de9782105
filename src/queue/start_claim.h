/*
 * start_claim.h: one session at a time starts the exporter.
 *
 * From the moment a session registers the worker until the worker takes the guard
 * (exporter_guard.h), every session that commits finds the guard free.  The claim keeps them from
 * registering one worker each.  It is taken before a worker is registered.  The worker drops it
 * when it has the guard, or else before it tries a last time to take the guard.  So a session that
 * finds a claim can rely on a worker that has not looked at the queue yet.  The claim of a worker
 * that never arrives expires.
 */
#ifndef OTEL_LINKS_START_CLAIM_H
#define OTEL_LINKS_START_CLAIM_H

#include "postgres.h"

/*
 * Takes the claim; false when another session has it.  True as well when the claim cannot be read
 * because somebody altered or locked otel.exporter_starting: then every session may start a worker.
 * Does not wait for a lock on that.  Needs a transaction; raises what reading a page may raise.
 */
extern bool start_claim_take(void);

/* Drops the claim, whoever took it.  Likewise. */
extern void start_claim_drop(void);

#endif
