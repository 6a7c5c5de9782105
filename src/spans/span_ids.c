/*
 * span_ids.c: random ids, and which span ids this session made.
 *
 * Owns the pool of random bytes and the ring of the session's own ids, by which links and parents
 * are known to be local.
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "context/w3c.h"
#include "spans/span_ids.h"

/*
 * How many of its own span ids a session remembers, for the is-remote flag of links and parents.
 * If a job links to spans of its own, it does so before it makes this many others.
 */
#define SPAN_OWN_IDS 2048

static HTAB *own_ids = NULL;
static uint64 *own_ring = NULL;
static int	own_next = 0;

/*
 * Random bytes are taken from the system 512 at a time, because a call costs as much as the rest of
 * a span's start.  If the system has none to give, PostgreSQL's own generator is used: telemetry
 * never breaks the work.
 */
void
span_ids_random(uint8 *id, Size size)
{
	static uint8 pool[512];
	static Size left = 0;

	do
	{
		if (left < size)
		{
			if (!pg_strong_random(pool, sizeof(pool)))
			{
				for (Size i = 0; i < sizeof(pool); i++)
					pool[i] = (uint8) pg_prng_uint32(&pg_global_prng_state);
			}
			left = sizeof(pool);
		}
		left -= size;
		memcpy(id, pool + left, size);
	} while (w3c_is_zero(id, size));
}

void
span_ids_init(MemoryContext memory)
{
	HASHCTL		info = {0};

	if (own_ring == NULL)
		own_ring = MemoryContextAllocZero(memory, SPAN_OWN_IDS * sizeof(uint64));
	if (own_ids != NULL)
		return;
	info.keysize = sizeof(uint64);
	info.entrysize = sizeof(uint64);
	info.hcxt = memory;
	own_ids = hash_create("otel own span ids", 256, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void
span_ids_remember(const uint8 *span_id)
{
	uint64		id;
	bool		found;

	memcpy(&id, span_id, sizeof(id));
	if (own_ring[own_next] != 0)
		(void) hash_search(own_ids, &own_ring[own_next], HASH_REMOVE, NULL);
	own_ring[own_next] = id;
	own_next = (own_next + 1) % SPAN_OWN_IDS;
	(void) hash_search(own_ids, &id, HASH_ENTER, &found);
}

bool
span_ids_made(const uint8 *span_id)
{
	uint64		id;

	if (own_ids == NULL)
		return false;
	memcpy(&id, span_id, sizeof(id));
	return hash_search(own_ids, &id, HASH_FIND, NULL) != NULL;
}
