/*
 * current_context.c: otel.current_trace_context(), the context that a column default records.
 *
 * The first of these that holds a valid context answers, else NULL:
 *
 *	1. the innermost open span (span.c);
 *	2. otel.traceparent and otel.tracestate, set in this transaction;
 *	3. the SQLCommenter comment of the statement that is running (sqlcommenter.c);
 *	4. otel.traceparent, set for the session or the connection: last among ours, because behind a
 *	   transaction pooler it may be what another client left, and for that reason never of a statement
 *	   that a pooler prepared, and never with otel.session_context off;
 *	5. request.headers, which PostgREST sets (postgrest.c);
 *	6. pg_tracing.trace_context.
 *
 * The answer of 1 to 4 is kept (context_cache.h).  Sources 5 and 6 belong to others, and nothing tells when
 * they change: their text is compared with the last one each time, and only when 1 to 4 are empty.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "capture/client_message.h"
#include "capture/context_cache.h"
#include "capture/current_context.h"
#include "capture/message_comment.h"
#include "capture/postgrest.h"
#include "capture/sqlcommenter.h"
#include "compat.h"
#include "context/trace_context.h"
#include "settings.h"
#include "spans/span.h"

/* A setting of somebody else's, and the context that its text held when it was last read. */
typedef struct ForeignSetting
{
	const char *name;
	struct varlena *(*read) (const char *value);
	char	   *text;			/* in TopMemoryContext, NULL before the first reading */
	struct varlena *context;
} ForeignSetting;

static struct varlena *read_pg_tracing(const char *value);

static ContextCache session_cache;
static ForeignSetting request_headers = {"request.headers", postgrest_context, NULL, NULL};
static ForeignSetting pg_tracing = {"pg_tracing.trace_context", read_pg_tracing, NULL, NULL};

/* ---- settings ---- */

/*
 * Sources 2 and 4: otel.traceparent, when it was set in this transaction or when it was not.  A tracestate
 * counts only when it was set on the same occasion: it is never paired with another's traceparent.
 */
static struct varlena *
read_setting(bool in_transaction)
{
	bool		with_state;

	if (otel_traceparent_setting[0] == '\0' || otel_traceparent_set_in_transaction() != in_transaction)
		return NULL;
	with_state = otel_tracestate_setting[0] != '\0' && otel_tracestate_set_in_transaction() == in_transaction;
	return trace_context_from_headers(otel_traceparent_setting, strlen(otel_traceparent_setting),
									  with_state ? otel_tracestate_setting : NULL,
									  with_state ? strlen(otel_tracestate_setting) : 0);
}

/* pg_tracing's setting holds what a comment would: traceparent='…',tracestate='…'. */
static struct varlena *
read_pg_tracing(const char *value)
{
	SqlCommenterContext *found = palloc(sizeof(SqlCommenterContext));
	char	   *comment = psprintf("/*%s*/", value);
	struct varlena *context = NULL;

	if (sqlcommenter_find(comment, strlen(comment), 0, 0, true, NULL, found))
		context = trace_context_make(&found->traceparent, found->tracestate, found->tracestate_len);
	pfree(comment);
	pfree(found);
	return context;
}

/* Sources 5 and 6.  The text is read again only when it is another than the last time. */
static struct varlena *
read_foreign_setting(ForeignSetting *setting)
{
	const char *text = GetConfigOption(setting->name, true, false);
	struct varlena *context;
	MemoryContext caller;

	if (text == NULL || *text == '\0')
		return NULL;
	if (setting->text && strcmp(setting->text, text) == 0)
		return setting->context;

	context = setting->read(text);
	if (setting->text)
		pfree(setting->text);
	if (setting->context)
		pfree(setting->context);
	setting->text = NULL;
	setting->context = NULL;
	caller = MemoryContextSwitchTo(TopMemoryContext);
	setting->context = context ? (struct varlena *) PG_DETOAST_DATUM_COPY(PointerGetDatum(context)) : NULL;
	setting->text = pstrdup(text);
	MemoryContextSwitchTo(caller);
	return setting->context;
}

/* ---- the answer, and where it is kept ---- */

/* Sources 1 to 4, uncached.  The result is in CurrentMemoryContext, or belongs to the span or a cache. */
static const struct varlena *
compute(const ClientMessage *message, Portal portal, StatementPlace place)
{
	const struct varlena *context = span_stack_current_context();
	MessageTrust trust;

	if (context || !otel_propagate)
		return context;
	if ((context = read_setting(true)) != NULL)
		return context;
	trust = client_message_trust(portal);
	if (trust == MESSAGE_FROM_POOLER)
		return NULL;
	if (trust == MESSAGE_TRUSTED && (context = message_comment_context(message, place)) != NULL)
		return context;
	return otel_session_context ? read_setting(false) : NULL;
}

/* The answer by way of a cache, which is the session's or a call site's and lives in that memory. */
static const struct varlena *
current_context(ContextCache *cache, MemoryContext memory)
{
	const ClientMessage *message = client_message();
	Portal		portal = client_message_portal();
	StatementPlace place = client_message_statement(portal);
	ContextKey	key;
	const struct varlena *context;

	key.message = message->serial;
	key.generation = otel_capture_generation;
	key.location = place.location;
	key.transaction = MyLocalTransactionId();
	if (!context_cache_holds(cache, &key))
	{
		if (!context_cache_holds(&session_cache, &key))
			context_cache_store(&session_cache, &key, compute(message, portal, place),
								TopMemoryContext);
		if (cache != &session_cache)
			context_cache_store(cache, &key, session_cache.context, memory);
	}
	if (cache->context || !otel_propagate)
		return cache->context;

	if ((context = read_foreign_setting(&request_headers)) != NULL)
		return context;
	return read_foreign_setting(&pg_tracing);
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
	struct varlena *result;

	if (!otel_propagate)
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
	 * What the call site's cache holds stays until this very call is made again, for another row: no need
	 * to copy it (100 of 6,000 instructions a row, bench/capture).  A foreign setting's does not.
	 */
	if (context == cache->context)
		PG_RETURN_POINTER(context);
	result = palloc(VARSIZE_ANY(context));
	memcpy(result, context, VARSIZE_ANY(context));
	PG_RETURN_POINTER(result);
}

/*
 * otel.set_trace_context(traceparent, tracestate, is_local): sets both settings, so that neither is left
 * over from an earlier call.  What is NULL counts as none.
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
