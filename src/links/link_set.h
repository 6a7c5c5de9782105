/*
 * link_set.h: links that are distinct, in the order in which they came.
 *
 * Two links are the same when their contexts are the same bytes and their attributes are equal as
 * jsonb compares them, as for SELECT DISTINCT.
 */
#ifndef OTEL_LINKS_LINK_SET_H
#define OTEL_LINKS_LINK_SET_H

#include "postgres.h"
#include "utils/jsonb.h"
#include "links/span_link.h"

typedef struct LinkSet LinkSet;

/* An empty set; it and everything in it lives in the memory context. */
extern LinkSet *link_set_create(MemoryContext context);

/*
 * Adds copies of context (detoasted, short header or not) and attributes (detoasted, or NULL),
 * unless the set has that link.
 */
extern void link_set_add(LinkSet *set, struct varlena *context, Jsonb *attributes);

/* The links; valid until the next link_set_add(), which may follow. */
extern const SpanLink *link_set_links(LinkSet *set, int *nlinks);

/*
 * The links as bytes for another process of this server, in CurrentMemoryContext.  Raises
 * program_limit_exceeded above 1 GB.
 */
extern bytea *link_set_serialize(LinkSet *set);

/*
 * A set for link_set_links() only, in CurrentMemoryContext, made of such bytes (detoasted,
 * four-byte header): its links point into them, and no hash table is made that the reader will
 * not use.
 */
extern LinkSet *link_set_deserialize(bytea *bytes);

#endif
