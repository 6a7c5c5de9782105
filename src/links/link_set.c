/*
 * link_set.c: links that are distinct, in the order in which they came.
 *
 * An array of links in order, and a hash table of their numbers in it.  Contexts and attributes
 * are copied into chunks that are filled from end to end: an allocation of its own costs a
 * context of 26 bytes 48, and a million of them 22 MB more than they do here.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "links/link_set.h"

/* A group of an aggregate begins with little; a big one is not slowed down by growing often. */
#define INITIAL_LINKS 8
#define INITIAL_CHUNK 256
#define MAX_CHUNK (1024 * 1024)

/*
 * In a big set, looking up a link is waiting for memory: its entry is anywhere in many megabytes.
 * So links first come on a stage, while the processor fetches their entries, and are added
 * STAGE_LINKS at a time.  A million distinct ones take a third less CPU by it (bench/links.py:
 * without it ten times the rows are 16 times the work, with it 11).
 */
#define STAGE_FROM 16384		/* links; so many fit a processor's second-level cache */
#define STAGE_LINKS 16
#define STAGE_SIZE 4096			/* bytes; a link that needs more is not staged */

#if defined(__GNUC__)
#define prefetch_for_write(address) __builtin_prefetch(address, 1)
#else
#define prefetch_for_write(address) ((void) 0)
#endif

/* Eight bytes, not the twelve of three members: 8 MB less for a million links. */
typedef struct LinkEntry
{
	uint32		link:31;
	uint32		status:1;
	uint32		hash;
} LinkEntry;

typedef struct Stage
{
	SpanLink	links[STAGE_LINKS];
	uint32		hashes[STAGE_LINKS];
	int			nlinks;
	Size		used;			/* of the buffer */
	union
	{
		char		data[STAGE_SIZE];
		int			align;
	}			buffer;			/* what the links point to */
} Stage;

struct LinkSet
{
	MemoryContext context;
	SpanLink   *links;			/* in order, without gaps */
	int			nlinks;
	int			capacity;		/* of links */
	struct link_hash *numbers;	/* of the links */
	char	   *chunk;			/* what is free of the chunk that is being filled */
	Size		chunk_free;
	Size		next_chunk;		/* size of the next one */
	Stage	   *stage;			/* of a big set, else NULL */
};

static uint32
link_hash_value(const SpanLink *link)
{
	uint32		hash = trace_context_hash_value(link->context);

	if (link->attributes != NULL)
	{
		Datum		attributes = DirectFunctionCall1(jsonb_hash, JsonbPGetDatum(link->attributes));

		hash = hash_combine(hash, DatumGetUInt32(attributes));
	}
	return hash;
}

/* Are the attributes equal?  Nearly always they are the same bytes when they are. */
static bool
attributes_equal(Jsonb *a, Jsonb *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	if (VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0)
		return true;
	return compareJsonbContainers(&a->root, &b->root) == 0;
}

static bool
link_equals(const SpanLink *a, const SpanLink *b)
{
	return trace_context_compare(a->context, b->context) == 0 &&
		attributes_equal(a->attributes, b->attributes);
}

/* A link is looked up by the number it would get: link_set_insert() puts it there first. */
#define SH_PREFIX link
#define SH_ELEMENT_TYPE LinkEntry
#define SH_KEY_TYPE uint32
#define SH_KEY link
#define SH_HASH_KEY(tb, key) link_hash_value(&((LinkSet *) (tb)->private_data)->links[key])
#define SH_EQUAL(tb, a, b) \
	link_equals(&((LinkSet *) (tb)->private_data)->links[a], \
				&((LinkSet *) (tb)->private_data)->links[b])
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) ((a)->hash)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

LinkSet *
link_set_create(MemoryContext context)
{
	LinkSet    *set = MemoryContextAllocZero(context, sizeof(LinkSet));

	set->context = context;
	set->capacity = INITIAL_LINKS;
	set->links = MemoryContextAlloc(context, sizeof(SpanLink) * (Size) set->capacity);
	set->numbers = link_create(context, INITIAL_LINKS, set);
	set->next_chunk = INITIAL_CHUNK;
	return set;
}

/* size bytes in the current chunk, or the next one. */
static void *
chunk_alloc(LinkSet *set, Size size)
{
	char	   *result;

	if (size > set->chunk_free)
	{
		/* what is left of the chunk is lost: less than this, and once a chunk */
		if (size > set->next_chunk / 4)
			return MemoryContextAlloc(set->context, size);
		set->chunk = MemoryContextAlloc(set->context, set->next_chunk);
		set->chunk_free = set->next_chunk;
		set->next_chunk = Min(set->next_chunk * 2, MAX_CHUNK);
	}
	result = set->chunk;
	set->chunk += size;
	set->chunk_free -= size;
	return result;
}

/* The next allocation is aligned for a four-byte header. */
static void
chunk_align(LinkSet *set)
{
	Size		padding = Min((Size) (INTALIGN(set->chunk) - (uintptr_t) set->chunk),
							  set->chunk_free);

	set->chunk += padding;
	set->chunk_free -= padding;
}

static struct varlena *
copy_context(LinkSet *set, struct varlena *context)
{
	struct varlena *copy;

	if (VARATT_IS_SHORT(context))
	{
		copy = chunk_alloc(set, VARSIZE_SHORT(context));
		memcpy(copy, context, VARSIZE_SHORT(context));
	}
	else if (VARATT_CAN_MAKE_SHORT(context))
	{
		Size		size = VARATT_CONVERTED_SHORT_SIZE(context);

		copy = chunk_alloc(set, size);
		SET_VARSIZE_SHORT(copy, size);
		memcpy(VARDATA_SHORT(copy), VARDATA(context), size - VARHDRSZ_SHORT);
	}
	else
	{
		chunk_align(set);
		copy = chunk_alloc(set, VARSIZE(context));
		memcpy(copy, context, VARSIZE(context));
	}
	return copy;
}

static Jsonb *
copy_attributes(LinkSet *set, Jsonb *attributes)
{
	Jsonb	   *copy;

	chunk_align(set);
	copy = chunk_alloc(set, VARSIZE(attributes));
	memcpy(copy, attributes, VARSIZE(attributes));
	return copy;
}

/* Adds copies of context and attributes, unless the set has that link. */
static void
link_set_insert(LinkSet *set, struct varlena *context, Jsonb *attributes, uint32 hash)
{
	SpanLink   *link;
	bool		found;

	if (set->nlinks == set->capacity)
	{
		if (set->capacity > (int) MaxArraySize)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("more distinct links than an array can have elements")));
		set->capacity *= 2;
		set->links = repalloc_huge(set->links, sizeof(SpanLink) * (Size) set->capacity);
	}
	link = &set->links[set->nlinks];
	link->context = context;
	link->attributes = attributes;
	(void) link_insert_hash(set->numbers, set->nlinks, hash, &found);
	if (found)
		return;

	link->context = copy_context(set, context);
	if (attributes != NULL)
		link->attributes = copy_attributes(set, attributes);
	set->nlinks++;
}

/* Adds the links that are on the stage, which changes where they are and not what the set is. */
static void
link_set_settle(LinkSet *set)
{
	Stage	   *stage = set->stage;

	if (stage == NULL)
		return;
	for (int i = 0; i < stage->nlinks; i++)
		link_set_insert(set, stage->links[i].context, stage->links[i].attributes, stage->hashes[i]);
	stage->nlinks = 0;
	stage->used = 0;
}

void
link_set_add(LinkSet *set, struct varlena *context, Jsonb *attributes)
{
	SpanLink	link = {.context = context, .attributes = attributes};
	uint32		hash = link_hash_value(&link);
	Size		context_size = INTALIGN(VARSIZE_ANY(context));
	Size		size = context_size + (attributes == NULL ? 0 : INTALIGN(VARSIZE(attributes)));
	Stage	   *stage = set->stage;
	char	   *copy;

	if (stage == NULL && set->nlinks >= STAGE_FROM)
		stage = set->stage = MemoryContextAllocZero(set->context, sizeof(Stage));
	if (stage == NULL || size > STAGE_SIZE)
	{
		link_set_settle(set);
		link_set_insert(set, context, attributes, hash);
		return;
	}
	if (stage->nlinks == STAGE_LINKS || size > STAGE_SIZE - stage->used)
		link_set_settle(set);

	prefetch_for_write(&set->numbers->data[hash & set->numbers->sizemask]);
	copy = stage->buffer.data + stage->used;
	link.context = memcpy(copy, context, VARSIZE_ANY(context));
	if (attributes != NULL)
		link.attributes = memcpy(copy + context_size, attributes, VARSIZE(attributes));
	stage->used += size;
	stage->links[stage->nlinks] = link;
	stage->hashes[stage->nlinks] = hash;
	stage->nlinks++;
}

const SpanLink *
link_set_links(LinkSet *set, int *nlinks)
{
	link_set_settle(set);
	*nlinks = set->nlinks;
	return set->links;
}

/*
 * The bytes: the number of links, then for each its context and its attributes, or a zero in their
 * place.  Every varlena begins where one with a four-byte header may, so they are read in place.
 */
bytea *
link_set_serialize(LinkSet *set)
{
	Size		size = VARHDRSZ + sizeof(uint32);
	bytea	   *result;
	char	   *dest;

	link_set_settle(set);
	for (int i = 0; i < set->nlinks; i++)
	{
		const SpanLink *link = &set->links[i];

		size += INTALIGN(VARSIZE_ANY(link->context));
		size += link->attributes ? INTALIGN(VARSIZE(link->attributes)) : sizeof(uint32);
	}
	if (!AllocSizeIsValid(size))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%d links need more than %zu bytes", set->nlinks, (Size) MaxAllocSize)));

	result = palloc0(size);
	SET_VARSIZE(result, size);
	dest = VARDATA(result);
	memcpy(dest, &set->nlinks, sizeof(uint32));
	dest += sizeof(uint32);
	for (int i = 0; i < set->nlinks; i++)
	{
		const SpanLink *link = &set->links[i];

		memcpy(dest, link->context, VARSIZE_ANY(link->context));
		dest += INTALIGN(VARSIZE_ANY(link->context));
		if (link->attributes == NULL)
			dest += sizeof(uint32);
		else
		{
			memcpy(dest, link->attributes, VARSIZE(link->attributes));
			dest += INTALIGN(VARSIZE(link->attributes));
		}
	}
	Assert(dest == (char *) result + size);
	return result;
}

LinkSet *
link_set_deserialize(bytea *bytes)
{
	LinkSet    *set = palloc0(sizeof(LinkSet));
	char	   *next = VARDATA(bytes);

	memcpy(&set->nlinks, next, sizeof(uint32));
	next += sizeof(uint32);
	set->links = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(SpanLink) * set->nlinks);
	for (int i = 0; i < set->nlinks; i++)
	{
		SpanLink   *link = &set->links[i];

		link->context = (struct varlena *) next;
		next += INTALIGN(VARSIZE_ANY(next));
		link->attributes = *(uint32 *) next == 0 ? NULL : (Jsonb *) next;
		next += link->attributes ? INTALIGN(VARSIZE(next)) : sizeof(uint32);
	}
	Assert(next == (char *) bytes + VARSIZE(bytes));
	return set;
}
