/*
 * link_limit.c: which links stay when there are more than a span may have.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "links/link_limit.h"

/* A trace that was seen, identified by the link that represents it. */
typedef struct TraceEntry
{
	uint32		link;
	uint32		hash;
	char		status;
} TraceEntry;

#define LINK_TRACE_ID(links, i) (TRACE_CONTEXT((links)[i].context)->trace_id)
#define SH_PREFIX trace
#define SH_ELEMENT_TYPE TraceEntry
#define SH_KEY_TYPE uint32
#define SH_KEY link
#define SH_HASH_KEY(tb, key) \
	hash_bytes(LINK_TRACE_ID((SpanLink *) (tb)->private_data, key), W3C_TRACE_ID_SIZE)
#define SH_EQUAL(tb, a, b) \
	(memcmp(LINK_TRACE_ID((SpanLink *) (tb)->private_data, a), \
			LINK_TRACE_ID((SpanLink *) (tb)->private_data, b), W3C_TRACE_ID_SIZE) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) ((a)->hash)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* The round of link_limit_apply() in which a link is taken. */
enum
{
	ROUND_SAMPLED_TRACE,		/* represents its trace, and is sampled */
	ROUND_UNSAMPLED_TRACE,		/* represents its trace, which has no sampled link */
	ROUND_REST,
	NROUNDS,
	KEPT
};

/*
 * The round of each link.  A trace is represented by its first sampled link, or else by its first.
 */
static uint8 *
rank_links(SpanLink *links, int nlinks)
{
	uint8	   *rounds = MemoryContextAllocHuge(CurrentMemoryContext, nlinks);
	trace_hash *traces = trace_create(CurrentMemoryContext, 128, links);

	memset(rounds, ROUND_REST, nlinks);
	for (int i = 0; i < nlinks; i++)
	{
		bool		found;
		bool		sampled = trace_context_is_sampled(links[i].context);
		TraceEntry *entry = trace_insert(traces, i, &found);

		if (found)
		{
			if (!sampled || rounds[entry->link] == ROUND_SAMPLED_TRACE)
				continue;
			rounds[entry->link] = ROUND_REST;
			entry->link = i;	/* of the same trace, so the entry stays where it is */
		}
		rounds[i] = sampled ? ROUND_SAMPLED_TRACE : ROUND_UNSAMPLED_TRACE;
	}
	trace_destroy(traces);
	return rounds;
}

int
link_limit_apply(SpanLink *links, int nlinks, int max)
{
	uint8	   *rounds;
	int			taken = 0;
	int			kept = 0;

	if (nlinks <= max)
		return nlinks;
	if (max <= 0)
		return 0;

	rounds = rank_links(links, nlinks);
	for (int round = 0; round < NROUNDS; round++)
		for (int i = 0; i < nlinks && taken < max; i++)
			if (rounds[i] == round)
			{
				rounds[i] = KEPT;
				taken++;
			}
	for (int i = 0; i < nlinks; i++)
		if (rounds[i] == KEPT)
			links[kept++] = links[i];
	pfree(rounds);
	return kept;
}
