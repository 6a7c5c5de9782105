/*
 * carrier.h: contexts in JSON objects of header names and values, for C code.
 */
#ifndef OTEL_LINKS_CARRIER_H
#define OTEL_LINKS_CARRIER_H

#include "postgres.h"
#include "utils/jsonb.h"

/*
 * otel.extract(): the context in a carrier, in CurrentMemoryContext; NULL when there is none that can be
 * used.  Never raises (but out of memory).
 */
extern struct varlena *carrier_extract(Jsonb *carrier);

/*
 * A copy of an object (NULL: an empty one), in CurrentMemoryContext, with the headers of a context in the
 * place of all that it has under these names, in whatever spelling.
 */
extern Jsonb *carrier_merge(Jsonb *object, const struct varlena *context);

#endif
