/*
 * context_cache.c: keeps the current context as long as it cannot have changed.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "capture/context_cache.h"
#include "context/trace_context.h"

void
context_cache_store(ContextCache *cache, const ContextKey *key, const struct varlena *context,
					MemoryContext memory)
{
	struct varlena *copy = context ? trace_context_copy(context, memory) : NULL;

	if (cache->context)
		pfree(cache->context);
	cache->context = copy;
	cache->key = *key;
}
