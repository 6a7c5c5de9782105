/*
 * capture.c: otel.current_trace_context(), the context that a column default records.
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
 * What a comment says was said when the statement was prepared.  Which executions it speaks for is
 * decided in comment_is_current().
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "commands/prepare.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "nodes/plannodes.h"
#include "parser/parser.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/portal.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "capture.h"
#include "compat.h"
#include "postgrest.h"
#include "settings.h"
#include "span.h"
#include "sqlcommenter.h"
#include "trace_context.h"

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
 * The last COMMIT or PREPARE TRANSACTION of a named prepared statement, and what was to be said of it while
 * it had a portal.  When deferred triggers run, it has none any more.
 */
typedef struct EndingStatement
{
	const char *message;
	TimestampTz arrived;
	bool		pooler;			/* is_pooler_statement() */
	bool		comment_current;	/* comment_is_current() */
} EndingStatement;

static struct varlena *read_pg_tracing(const char *value);

static CaptureCache session_cache;
static EndingStatement ending;
static ProcessUtility_hook_type prev_process_utility = NULL;
static ForeignSetting request_headers = {"request.headers", postgrest_context, NULL, NULL};
static ForeignSetting pg_tracing = {"pg_tracing.trace_context", read_pg_tracing, NULL, NULL};

/* ---- the running statement ---- */

/*
 * Does the portal run the text that debug_query_string points to?  In the simple protocol that is the very
 * string; for Execute it is a copy.  The texts of a message and a portal that were equal once stay so
 * while the message runs, and are compared once: they may be long.
 */
static bool
portal_has_message_copy(Portal portal)
{
	static const char *known_source = NULL;
	static const char *known_message = NULL;
	static TimestampTz known_arrived = 0;
	TimestampTz arrived = GetCurrentStatementStartTimestamp();

	if (known_source == portal->sourceText && known_message == debug_query_string &&
		known_arrived == arrived)
		return true;
	if (portal->sourceText == NULL || strcmp(portal->sourceText, debug_query_string) != 0)
		return false;
	known_source = portal->sourceText;
	known_message = debug_query_string;
	known_arrived = arrived;
	return true;
}

/*
 * The portal of the client's own statement.  ActivePortal is another one inside FOR … IN, FETCH and SQL
 * EXECUTE.  Of those that are active it is the one with the message's string; only when there is none, the
 * one with a copy of it: in "DECLARE c …; FETCH c" the cursor has one as well.  NULL outside of any
 * portal, as while a simple statement is planned, in the function call protocol and in background workers.
 */
static Portal
top_level_portal(void)
{
	MemoryContext context;
	Portal		with_copy = NULL;

	if (debug_query_string == NULL || !PortalIsValid(ActivePortal))
		return NULL;
	if (ActivePortal->sourceText == debug_query_string)
		return ActivePortal;

	/* Every portal's context is a child of the same one and has the portal's name as its ident. */
	context = MemoryContextGetParent(ActivePortal->portalContext);
	for (context = context->firstchild; context; context = context->nextchild)
	{
		Portal		portal;

		if (context->ident == NULL || strcmp(context->name, "PortalContext") != 0)
			continue;
		portal = GetPortalByName(strcmp(context->ident, "<unnamed>") == 0 ? "" : context->ident);
		if (!PortalIsValid(portal) || portal->portalContext != context ||
			portal->status != PORTAL_ACTIVE)
			continue;
		if (portal->sourceText == debug_query_string)
			return portal;
		if (portal_has_message_copy(portal))
			with_copy = portal;
	}
	return with_copy;
}

/*
 * The statement of the message that the portal runs, or NULL.  The actions of rules, which may come before
 * it or in its place, have no location.
 */
static PlannedStmt *
portal_statement(Portal portal)
{
	ListCell   *cell;

	if (portal == NULL)
		return NULL;
	foreach(cell, portal->stmts)
	{
		PlannedStmt *statement = lfirst_node(PlannedStmt, cell);

		if (statement->stmt_location >= 0)
			return statement;
	}
	return NULL;
}

/* Is the message that runs the one that ends the transaction?  Only a named statement is noted there. */
static bool
ending_is_running(void)
{
	return debug_query_string != NULL && ending.message == debug_query_string &&
		ending.arrived == GetCurrentStatementStartTimestamp();
}

/*
 * Is the statement one that a pooler prepared, by its name (otel.pooler_statement_names)?  A pooler prepares
 * a client's statement again on each server, so when that was says nothing about the comment; and what is
 * set for the session may be another client's.
 */
static bool
is_pooler_statement(Portal portal)
{
	List	   *patterns;
	ListCell   *cell;
	char	   *copy;
	bool		found = false;

	if (portal == NULL)
		return ending_is_running() && ending.pooler;
	if (portal->prepStmtName == NULL)
		return false;
	copy = pstrdup(otel_pooler_statement_names);
	if (SplitGUCList(copy, ',', &patterns))
	{
		foreach(cell, patterns)
		{
			if (DatumGetBool(DirectFunctionCall2Coll(textlike, C_COLLATION_OID,
													 CStringGetTextDatum(portal->prepStmtName),
													 CStringGetTextDatum(lfirst(cell)))))
				found = true;
		}
	}
	list_free(patterns);
	pfree(copy);
	return found;
}

/*
 * Does the statement's comment speak for this execution?  An unnamed statement's does.  A named one's
 * does on its first execution, and when it was prepared in this transaction (so executemany keeps all its
 * rows).  When the statement is gone, or another has its name, nothing can be told: a stale link is worse
 * than none.
 */
static bool
comment_is_current(Portal portal)
{
	PreparedStatement *prepared;
	CachedPlanSource *source;

	if (portal == NULL)
		return !ending_is_running() || ending.comment_current;
	if (portal->prepStmtName == NULL || portal->prepStmtName[0] == '\0')
		return true;
	prepared = FetchPreparedStatement(portal->prepStmtName, false);
	if (prepared == NULL)
		return false;
	source = prepared->plansource;
	if (source->num_custom_plans + source->num_generic_plans != 1 &&
		prepared->prepare_time < GetCurrentTransactionStartTimestamp())
		return false;
	return strcmp(source->query_string, debug_query_string) == 0;
}

/* Notes what a prepared COMMIT is before it runs, for the rows of deferred triggers. */
static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only_tree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	if (IsA(pstmt->utilityStmt, TransactionStmt) && IsTransactionState())
	{
		Portal		portal = top_level_portal();

		ending.message = NULL;
		if (portal && portal->prepStmtName && portal->prepStmtName[0] != '\0')
		{
			ending.pooler = is_pooler_statement(portal);
			ending.comment_current = comment_is_current(portal);
			ending.message = debug_query_string;
			ending.arrived = GetCurrentStatementStartTimestamp();
		}
	}
	if (prev_process_utility)
		prev_process_utility(pstmt, query, read_only_tree, context, params, env, dest, qc);
	else
		standard_ProcessUtility(pstmt, query, read_only_tree, context, params, env, dest, qc);
}

void
capture_install(void)
{
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}

/* Source 3. */
static struct varlena *
read_comment(Portal portal)
{
	static const char *last_message = NULL;
	static TimestampTz last_arrived = 0;
	static size_t boundary = 0;
	PlannedStmt *statement = portal_statement(portal);
	SqlCommenterContext *found;
	struct varlena *context = NULL;
	TimestampTz arrived = GetCurrentStatementStartTimestamp();

	if (debug_query_string == NULL || !comment_is_current(portal))
		return NULL;
	if (last_message != debug_query_string || last_arrived != arrived)
	{
		last_message = debug_query_string;
		last_arrived = arrived;
		boundary = 0;
	}
	found = palloc(sizeof(SqlCommenterContext));
	if (sqlcommenter_find(debug_query_string, strlen(debug_query_string),
						  statement ? statement->stmt_location : -1,
						  statement ? statement->stmt_len : 0,
						  server_standard_conforming_strings, &boundary, found))
		context = trace_context_make(&found->traceparent, found->tracestate, found->tracestate_len);
	pfree(found);
	return context;
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
	if (is_pooler_statement(portal))
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
	Portal		portal = top_level_portal();
	PlannedStmt *statement = portal_statement(portal);
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
