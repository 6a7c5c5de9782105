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
 * A default is evaluated once a row, so the answer of 1 to 4 is kept: in the call site's fn_extra, which
 * serves the rows of one statement, and in one place for the session, which serves the statements that a
 * function runs in a loop.  Both are keyed by what the answer depends on: the message (its address and
 * the time it arrived), which of its statements is running, the transaction, and a generation that every
 * change of our settings and of the span stack raises.  Sources 5 and 6 belong to others and tell nobody
 * when they change: they are compared with their last text each time, and only when 1 to 4 are empty.
 *
 * Which statement is the client's, and whether its comment speaks for this execution, client_message.c
 * knows.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "parser/parser.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "capture/current_context.h"
#include "compat.h"
#include "capture/postgrest.h"
#include "capture/client_message.h"
#include "settings.h"
#include "spans/span.h"
#include "capture/sqlcommenter.h"
#include "context/trace_context.h"

/* What an answer of sources 1 to 4 depends on. */
typedef struct CaptureKey
{
	const char *message;		/* debug_query_string */
	TimestampTz arrived;
	int			location;		/* of the running statement in the message */
	LocalTransactionId transaction; /* a procedure may commit, and "in this transaction" is over */
	uint64		generation;
} CaptureKey;

typedef struct CaptureCache
{
	CaptureKey	key;
	struct varlena *context;	/* NULL: sources 1 to 4 are empty */
} CaptureCache;

/* A setting of somebody else's, and the context that its text held when it was last read. */
typedef struct ForeignSetting
{
	const char *name;
	struct varlena *(*read) (const char *value);
	char	   *text;			/* in TopMemoryContext, NULL before the first reading */
	struct varlena *context;
} ForeignSetting;

/*
 * The message, and the context in the comments of one of its statements.  Unlike the answer's cache it
 * outlives changes of settings and spans: a function that records spans in a loop would read a large message
 * again and again.
 */
typedef struct MessageComments
{
	const char *message;		/* debug_query_string */
	TimestampTz arrived;
	size_t		len;
	size_t		boundary;		/* see sqlcommenter_find() */
	int			location;		/* of the statement, when searched is true */
	bool		ambiguous;		/* are literals read otherwise than when the message was parsed, perhaps? */
	bool		searched;
	struct varlena *context;	/* in TopMemoryContext, or NULL */
} MessageComments;

static struct varlena *read_pg_tracing(const char *value);

static CaptureCache session_cache;
static ForeignSetting request_headers = {"request.headers", postgrest_context, NULL, NULL};
static ForeignSetting pg_tracing = {"pg_tracing.trace_context", read_pg_tracing, NULL, NULL};

/* ---- comments ---- */

/*
 * What sqlcommenter_find() says of the statement, with both ways to read a literal where it is not known with
 * which the message was parsed: a text in it may pose as a comment in one of them.
 */
static bool
find_in_comments(MessageComments *comments, PlannedStmt *statement, SqlCommenterContext *found)
{
	int			location = statement ? statement->stmt_location : -1;
	int			len = statement ? statement->stmt_len : 0;
	bool		standard = server_standard_conforming_strings;
	SqlCommenterContext *other;
	bool		agree;

	if (!comments->ambiguous)
		return sqlcommenter_find(comments->message, comments->len, location, len, standard,
								 &comments->boundary, found);
	other = palloc(sizeof(SqlCommenterContext));
	agree = sqlcommenter_find(comments->message, comments->len, location, len, true, NULL, found) &&
		sqlcommenter_find(comments->message, comments->len, location, len, false, NULL, other) &&
		memcmp(&found->traceparent, &other->traceparent, sizeof(found->traceparent)) == 0 &&
		found->tracestate_len == other->tracestate_len &&
		memcmp(found->tracestate, other->tracestate, found->tracestate_len) == 0;
	pfree(other);
	return agree;
}

/* Source 3. */
static const struct varlena *
read_comment(Portal portal)
{
	static MessageComments comments;
	PlannedStmt *statement = running_statement(portal);
	TimestampTz arrived = GetCurrentStatementStartTimestamp();
	int			location = statement ? statement->stmt_location : -1;
	bool		ambiguous = otel_literals_changed_in_transaction();
	SqlCommenterContext *found;

	if (debug_query_string == NULL || !running_comment_is_current(portal))
		return NULL;
	if (comments.message != debug_query_string || comments.arrived != arrived)
	{
		comments.message = debug_query_string;
		comments.arrived = arrived;
		comments.len = strlen(debug_query_string);
		comments.boundary = 0;
		comments.searched = false;
	}
	if (comments.searched && comments.location == location && comments.ambiguous == ambiguous)
		return comments.context;

	comments.searched = false;
	comments.location = location;
	comments.ambiguous = ambiguous;
	if (comments.context)
		pfree(comments.context);
	comments.context = NULL;
	found = palloc(sizeof(SqlCommenterContext));
	if (find_in_comments(&comments, statement, found))
	{
		struct varlena *context = trace_context_make(&found->traceparent, found->tracestate,
													 found->tracestate_len);

		comments.context = MemoryContextAlloc(TopMemoryContext, VARSIZE_ANY(context));
		memcpy(comments.context, context, VARSIZE_ANY(context));
		pfree(context);
	}
	pfree(found);
	comments.searched = true;
	return comments.context;
}

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

/* Sources 1 to 4, uncached.  The result is in CurrentMemoryContext or belongs to the span. */
static const struct varlena *
compute(Portal portal)
{
	const struct varlena *context = span_stack_current_context();

	if (context || !otel_propagate)
		return context;
	if ((context = read_setting(true)) != NULL)
		return context;
	if (running_is_poolers(portal))
		return NULL;
	if ((context = read_comment(portal)) != NULL)
		return context;
	return otel_session_context ? read_setting(false) : NULL;
}

static bool
key_equals(const CaptureKey *a, const CaptureKey *b)
{
	return a->generation == b->generation && a->message == b->message &&
		a->arrived == b->arrived && a->location == b->location &&
		a->transaction == b->transaction;
}

static void
cache_store(CaptureCache *cache, const CaptureKey *key, const struct varlena *context,
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

/* Brings a call site's cache up to date, from the session's when that one is. */
static void
cache_refresh(CaptureCache *cache, const CaptureKey *key, Portal portal, MemoryContext memory)
{
	if (!key_equals(&session_cache.key, key))
	{
		const struct varlena *context = compute(portal);

		cache_store(&session_cache, key, context, TopMemoryContext);
	}
	if (cache != &session_cache)
		cache_store(cache, key, session_cache.context, memory);
}

/* The answer by way of a cache that is the session's or a call site's. */
static const struct varlena *
current_context(CaptureCache *cache, MemoryContext memory)
{
	Portal		portal = running_portal();
	PlannedStmt *statement = running_statement(portal);
	CaptureKey	key;
	const struct varlena *context;

	key.message = debug_query_string;
	key.arrived = GetCurrentStatementStartTimestamp();
	key.location = statement ? statement->stmt_location : -2;
	key.transaction = MyLocalTransactionId();
	key.generation = otel_capture_generation;
	if (!key_equals(&cache->key, &key))
		cache_refresh(cache, &key, portal, memory);
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
	CaptureCache *cache = fcinfo->flinfo->fn_extra;
	const struct varlena *context;
	struct varlena *result;

	if (!otel_propagate)
		PG_RETURN_NULL();
	if (cache == NULL)
	{
		cache = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(CaptureCache));
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
