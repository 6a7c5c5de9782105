/*
 * context_cache.c: keeps a current context for as long as it cannot have changed.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "capture/context_cache.h"
#include "compat.h"

void
context_cache_store(ContextCache *cache, const ContextKey *key, const struct varlena *context,
					MemoryContext memory)
{
	struct varlena *copy = NULL;

	if (context)
	{
		copy = MemoryContextAlloc(memory, VARSIZE_ANY(context));
		memcpy(copy, context, VARSIZE_ANY(context));
	}
	if (cache->context)
		pfree(cache->context);
	cache->context = copy;
	cache->key = *key;
}
