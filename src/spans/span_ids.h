/*
 * span_ids.h: random ids, and which span ids this session made.
 */
#ifndef OTEL_LINKS_SPAN_IDS_H
#define OTEL_LINKS_SPAN_IDS_H

#include "postgres.h"

/* Fills id with size random bytes, not all of them zero. */
extern void span_ids_random(uint8 *id, Size size);

/*
 * Allocates, in that memory context, what span_ids_remember() needs.  More than one call does no
 * harm.
 */
extern void span_ids_init(MemoryContext memory);

/* Remembers that the session made this span id. */
extern void span_ids_remember(const uint8 *span_id);

/* Is it one of the last 2,048 span ids that the session made? */
extern bool span_ids_made(const uint8 *span_id);

#endif
