/*
 * client_message.c: the client's message that is running, its statement, and whether that
 * statement's comment may be trusted.
 *
 * A message is identified by the address of its text, until its memory context is reset when the
 * next one is read.  The address alone would not tell two messages apart, nor would the clock,
 * which may be coarse.
 *
 * The client's statement is that of the top-level portal: inside FOR … IN, FETCH and SQL EXECUTE,
 * ActivePortal is another one.
 *
 * A comment was written when its statement was parsed, so it is trusted if the same request parses
 * and executes the statement; judge() has the rules.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/prepare.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/timestamp.h"

#include "capture/capture_settings.h"
#include "capture/client_message.h"
#include "compat.h"

/* The first execution counts as part of the request that prepared the statement for this long. */
#define FIRST_EXECUTION_MS 1000

/* Above this many trusted statements, forget all; those of this transaction lose little by it. */
#define MAX_TRUSTED_STATEMENTS 1000

ClientMessage client_message_state = {.ending = {-1, -1}};

/* The transaction in which a prepared statement was last trusted. */
typedef struct TrustedStatement
{
	CachedPlanSource *source;	/* only compared, never followed: it may be gone */
	LocalTransactionId transaction;
} TrustedStatement;

static HTAB *trusted_statements = NULL;

/* ---- identity ---- */

typedef struct MessageEnd
{
	MemoryContextCallback callback;
	uint64		serial;
} MessageEnd;

static void
message_ended(void *arg)
{
	const MessageEnd *end = arg;

	if (client_message_state.serial != end->serial)
		return;
	client_message_state.text = NULL;
	client_message_state.serial++;
	client_message_state.ending = STATEMENT_PLACE_UNKNOWN;
}

/*
 * Background workers have no MessageContext; there the portal's context lives as long as the
 * statement.  Without either, nothing can be kept from one call to the next.
 */
void
client_message_begin(void)
{
	MemoryContext lifetime = MessageContext;
	MessageEnd *end = NULL;
	uint64		serial = client_message_state.serial + 1;

	if (lifetime == NULL && PortalIsValid(ActivePortal))
		lifetime = ActivePortal->portalContext;
	if (lifetime != NULL && debug_query_string != NULL)
		end = MemoryContextAlloc(lifetime, sizeof(MessageEnd));

	client_message_state = (ClientMessage)
	{
		.text = debug_query_string,
		.serial = serial,
		.fleeting = debug_query_string != NULL && end == NULL,
		.ending = STATEMENT_PLACE_UNKNOWN
	};
	if (end != NULL)
	{
		end->serial = serial;
		end->callback.func = message_ended;
		end->callback.arg = end;
		MemoryContextRegisterResetCallback(lifetime, &end->callback);
	}
}

/* ---- the portal ---- */

static void
portal_dropped(void *portal)
{
	if (client_message_state.portal == portal)
		client_message_state.portal = NULL;
	if (client_message_state.searched_under == portal)
		client_message_state.searched_under = NULL;
}

static void
notice_drop(Portal portal)
{
	MemoryContextCallback *callback = MemoryContextAlloc(portal->portalContext,
														 sizeof(MemoryContextCallback));

	callback->func = portal_dropped;
	callback->arg = portal;
	MemoryContextRegisterResetCallback(portal->portalContext, callback);
}

/*
 * The portal that has this memory context, or NULL.  The context's identifier is the portal's name,
 * with a substitute for the empty name.
 */
static Portal
portal_of_context(MemoryContext context)
{
	Portal		portal;

	if (context->ident == NULL || strcmp(context->name, "PortalContext") != 0)
		return NULL;
	portal = GetPortalByName(context->ident);
	if (PortalIsValid(portal) && portal->portalContext == context)
		return portal;
	if (strcmp(context->ident, "<unnamed>") != 0)
		return NULL;
	portal = GetPortalByName("");
	return PortalIsValid(portal) && portal->portalContext == context ? portal : NULL;
}

/*
 * Of the active portals, the client's is the one with the message's own string (simple protocol).
 * Only if there is none, it is the one with a copy of it (Execute): in "DECLARE c …; FETCH c",
 * the cursor has a copy as well.
 */
static Portal
find_client_portal(void)
{
	MemoryContext context;
	Portal		with_copy = NULL;

	/* every portal's context is a child of the same one */
	context = MemoryContextGetParent(ActivePortal->portalContext);
	for (context = context->firstchild; context; context = context->nextchild)
	{
		Portal		portal = portal_of_context(context);

		if (portal == NULL || portal->status != PORTAL_ACTIVE || portal->sourceText == NULL)
			continue;
		if (portal->sourceText == debug_query_string)
			return portal;
		if (strcmp(portal->sourceText, debug_query_string) == 0)
			with_copy = portal;
	}
	return with_copy;
}

/*
 * The search looks at every open portal and compares texts, which may be long.  So its result, even
 * if it found nothing, is kept for as long as the portal lives.
 */
Portal
client_message_search_portal(void)
{
	Portal		found;

	if (client_message_state.portal)
		return client_message_state.portal;
	if (client_message_state.searched_under == ActivePortal)
		return NULL;

	found = find_client_portal();
	notice_drop(found ? found : ActivePortal);
	client_message_state.portal = found;
	client_message_state.searched_under = found ? NULL : ActivePortal;
	return found;
}

/* ---- trust ---- */

static TrustedStatement *
find_trusted(CachedPlanSource *source)
{
	return trusted_statements == NULL ? NULL :
		hash_search(trusted_statements, &source, HASH_FIND, NULL);
}

static void
note_trusted(CachedPlanSource *source)
{
	TrustedStatement *entry;

	if (trusted_statements != NULL &&
		hash_get_num_entries(trusted_statements) >= MAX_TRUSTED_STATEMENTS)
	{
		hash_destroy(trusted_statements);
		trusted_statements = NULL;
	}
	if (trusted_statements == NULL)
	{
		HASHCTL		control = {
			.keysize = sizeof(CachedPlanSource *),
			.entrysize = sizeof(TrustedStatement)
		};

		trusted_statements = hash_create("otel_links trusted statements", 64, &control,
										 HASH_ELEM | HASH_BLOBS);
	}
	entry = hash_search(trusted_statements, &source, HASH_ENTER, NULL);
	entry->transaction = MyLocalTransactionId();
}

/*
 * Did the request that executes the statement also prepare it?  Yes if it was prepared in this
 * transaction (so that all rows of an executemany count), if this is its first execution, shortly
 * after it was prepared, or if it was trusted before in this transaction.
 *
 * With a coarse clock, a statement of an earlier transaction may seem to have been prepared in this
 * one.  But then it was usually executed and trusted in the earlier one, so that it is found among
 * the trusted statements.
 */
static bool
same_request_prepared(const PreparedStatement *prepared)
{
	CachedPlanSource *source = prepared->plansource;
	const TrustedStatement *trusted = find_trusted(source);
	TimestampTz arrived = GetCurrentStatementStartTimestamp();

	if (trusted != NULL && trusted->transaction == MyLocalTransactionId())
		return true;
	if (prepared->prepare_time > arrived)
		return false;			/* the clock was set back, so nothing is known */
	if (prepared->prepare_time >= GetCurrentTransactionStartTimestamp() && trusted == NULL)
		return true;
	return source->num_custom_plans + source->num_generic_plans == 1 &&
		!TimestampDifferenceExceeds(prepared->prepare_time, arrived, FIRST_EXECUTION_MS);
}

static MessageTrust
judge(Portal portal)
{
	PreparedStatement *prepared;

	if (portal == NULL || portal->prepStmtName == NULL || portal->prepStmtName[0] == '\0')
		return MESSAGE_TRUSTED;

	/* A pooler prepares a statement anew on each server, so the time of that means nothing. */
	if (pooler_statement_pattern(portal->prepStmtName))
		return MESSAGE_FROM_POOLER;
	prepared = FetchPreparedStatement(portal->prepStmtName, false);
	if (prepared == NULL || strcmp(prepared->plansource->query_string, debug_query_string) != 0)
		return MESSAGE_STATEMENT_GONE;
	if (!same_request_prepared(prepared))
		return MESSAGE_PREPARED_EARLIER;
	note_trusted(prepared->plansource);
	return MESSAGE_TRUSTED;
}

MessageTrust
client_message_trust(Portal portal)
{
	if (client_message_state.trust == MESSAGE_NOT_JUDGED)
		client_message_state.trust = judge(portal);
	return client_message_state.trust;
}

/* Notes what a COMMIT's deferred triggers need: when they run, it has no portal any more. */
void
client_message_before_utility(const PlannedStmt *statement)
{
	TransactionStmtKind kind;
	Portal		portal;

	if (!IsA(statement->utilityStmt, TransactionStmt) || !IsTransactionState())
		return;
	kind = castNode(TransactionStmt, statement->utilityStmt)->kind;
	if (kind != TRANS_STMT_COMMIT && kind != TRANS_STMT_PREPARE)
		return;
	(void) client_message();
	portal = client_message_portal();
	(void) client_message_trust(portal);
	client_message_state.ending = client_message_statement(portal);
}
