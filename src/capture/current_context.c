/*
 * current_context.c: otel.current_trace_context(), the context that a column default records.
 *
 * The sources are asked in the order of ContextSource.  The first that is in use and holds a valid
 * context answers; if none does, the answer is NULL.  What depends only on the message, our
 * settings and our spans is kept (context_cache.h).  Other settings may change without our
 * knowledge.  They are looked at each time, but only if no source before them answers, and their
 * text is parsed only if it has changed.
 *
 * The session's otel.traceparent comes after application_name, so it is kept only if that is not in
 * use, which is the default.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "capture/alter_table.h"
#include "capture/context_cache.h"
#include "capture/context_source.h"
#include "capture/current_context.h"
#include "context/trace_context.h"
#include "settings.h"

static ContextCache session_cache;

/* The context of the first source, from first to last, that is in use and holds one, or NULL. */
static const struct varlena *
first_context(ContextSource first, ContextSource last, const CaptureSituation *situation)
{
	const struct varlena *context;

	for (ContextSource source = first; source <= last; source++)
	{
		if (context_source_is_used(source) &&
			(context = context_source_read(source, situation, NULL)) != NULL)
			return context;
	}
	return NULL;
}

/* The part of the answer that is kept. */
static const struct varlena *
kept_context(const CaptureSituation *situation)
{
	const struct varlena *context = context_source_read(CONTEXT_FROM_SPAN, situation, NULL);

	if (context || !otel_propagate)
		return context;
	if (context_source_is_used(CONTEXT_FROM_APPLICATION_NAME))
		return first_context(CONTEXT_FROM_TRANSACTION, CONTEXT_FROM_COMMENT, situation);
	return first_context(CONTEXT_FROM_TRANSACTION, CONTEXT_FROM_SESSION, situation);
}

static const struct varlena *
foreign_context(const CaptureSituation *situation)
{
	if (context_source_is_used(CONTEXT_FROM_APPLICATION_NAME))
		return first_context(CONTEXT_FROM_APPLICATION_NAME, CONTEXT_FROM_PG_TRACING, situation);
	return first_context(CONTEXT_FROM_POSTGREST, CONTEXT_FROM_PG_TRACING, situation);
}

/* Brings a cache, whose memory context is given, up to date: if possible, from the session's. */
static pg_noinline void
refresh(ContextCache *cache, MemoryContext memory, const ContextKey *key)
{
	if (!context_cache_holds(&session_cache, key))
	{
		CaptureSituation situation = capture_situation();

		context_cache_store(&session_cache, key, kept_context(&situation), TopMemoryContext);
	}
	if (cache != &session_cache)
		context_cache_store(cache, key, session_cache.context, memory);
}

/* Asks the sources whose answers are not kept. */
static pg_noinline const struct varlena *
ask_foreign(void)
{
	CaptureSituation situation = capture_situation();

	return foreign_context(&situation);
}

/*
 * The answer, by means of a cache, which is the session's or a call site's and lives in that memory
 * context.  The two functions above are not inline, so that the key stays in registers for a row
 * whose answer is kept.
 */
static inline const struct varlena *
current_context(ContextCache *cache, MemoryContext memory)
{
	ContextKey	key;

	key.message = client_message()->serial;
	key.place = client_message_statement(client_message_portal());
	key.generation = otel_capture_generation;
	key.transaction = MyLocalTransactionId();
	if (!context_cache_holds(cache, &key))
	{
		ContextKey	copy = key;

		refresh(cache, memory, &copy);
	}
	if (cache->context || !otel_propagate)
		return cache->context;
	return ask_foreign();
}

const struct varlena *
capture_current_context(void)
{
	return current_context(&session_cache, TopMemoryContext);
}

PG_FUNCTION_INFO_V1(otel_current_trace_context);
Datum
otel_current_trace_context(PG_FUNCTION_ARGS)
{
	ContextCache *cache = fcinfo->flinfo->fn_extra;
	const struct varlena *context;

	if (!otel_propagate || alter_table_is_evaluating())
		PG_RETURN_NULL();
	if (cache == NULL)
	{
		cache = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(ContextCache));
		fcinfo->flinfo->fn_extra = cache;
	}
	context = current_context(cache, fcinfo->flinfo->fn_mcxt);
	if (context == NULL)
		PG_RETURN_NULL();

	/*
	 * The context in the call site's cache stays until this call is made again, for another row, so
	 * it need not be copied (100 of 6,000 instructions a row, bench/capture).  The context of
	 * another setting does not.
	 */
	if (context == cache->context)
		PG_RETURN_POINTER(context);
	PG_RETURN_POINTER(trace_context_copy(context, CurrentMemoryContext));
}

/*
 * otel.set_trace_context(traceparent, tracestate, is_local): sets both settings, so that neither is
 * left over from an earlier call.  NULL empties a setting.
 */
PG_FUNCTION_INFO_V1(otel_set_trace_context);
Datum
otel_set_trace_context(PG_FUNCTION_ARGS)
{
	const char *traceparent = PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0));
	const char *tracestate = PG_ARGISNULL(1) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(1));
	bool		is_local = PG_ARGISNULL(2) || PG_GETARG_BOOL(2);
	GucAction	action = is_local ? GUC_ACTION_LOCAL : GUC_ACTION_SET;

	(void) set_config_option("otel.traceparent", traceparent, PGC_USERSET, PGC_S_SESSION,
							 action, true, 0, false);
	(void) set_config_option("otel.tracestate", tracestate, PGC_USERSET, PGC_S_SESSION,
							 action, true, 0, false);
	PG_RETURN_VOID();
}
