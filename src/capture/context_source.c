/*
 * context_source.c: the sources of the current context, one by one.
 *
 * With a transaction pooler, a setting of the session may come from another client.  So it does not
 * count for a statement that a pooler prepared, and neither does that statement's comment, which
 * belongs to the request that prepared it first.
 */
#include "postgres.h"

#include "utils/guc.h"
#include "utils/memutils.h"

#include "capture/context_source.h"
#include "capture/message_comment.h"
#include "capture/postgrest.h"
#include "capture/sqlcommenter.h"
#include "context/trace_context.h"
#include "setting_entry.h"
#include "spans/span.h"

/* Datadog's Java tracer puts this before the traceparent in application_name. */
#define DATADOG_PREFIX "_DD_"

/*
 * A setting whose changes we are not told of, and the context that its text held when it was last
 * read.
 */
typedef struct ForeignSetting
{
	const char *name;
	struct varlena *(*read) (const char *value);
	char	   *text;			/* in TopMemoryContext, NULL before the first reading */
	struct varlena *context;	/* likewise */
} ForeignSetting;

static struct varlena *read_application_name(const char *value);
static struct varlena *read_pg_tracing(const char *value);

static ForeignSetting foreign_settings[CONTEXT_SOURCE_COUNT] = {
	[CONTEXT_FROM_APPLICATION_NAME] = {"application_name", read_application_name, NULL, NULL},
	[CONTEXT_FROM_POSTGREST] = {"request.headers", postgrest_context, NULL, NULL},
	[CONTEXT_FROM_PG_TRACING] = {"pg_tracing.trace_context", read_pg_tracing, NULL, NULL}
};

static void
explain(char **why, const char *reason)
{
	if (why)
		*why = pstrdup(reason);
}

/* ---- otel.traceparent ---- */

/*
 * Reads otel.traceparent if it was set in this transaction (in_transaction), or if it was not.  A
 * tracestate counts only if the same is true of it: it is never paired with another request's
 * traceparent.
 */
static struct varlena *
read_setting(bool in_transaction, char **why)
{
	struct varlena *context;
	bool		with_state;
	W3cTraceparent unused;

	if (otel_traceparent_set_in_transaction() != in_transaction)
	{
		explain(why, in_transaction ? "otel.traceparent was not set in this transaction" :
				"otel.traceparent was set in this transaction, not for the session");
		return NULL;
	}
	if (otel_traceparent_setting[0] == '\0')
	{
		explain(why, "otel.traceparent is empty");
		return NULL;
	}
	with_state = otel_tracestate_setting[0] != '\0' &&
		otel_tracestate_set_in_transaction() == in_transaction;
	context = trace_context_from_headers(otel_traceparent_setting, strlen(otel_traceparent_setting),
										 with_state ? otel_tracestate_setting : NULL,
										 with_state ? strlen(otel_tracestate_setting) : 0);
	if (context == NULL && why)
		*why = malformed_reason(w3c_parse_traceparent(otel_traceparent_setting,
													  strlen(otel_traceparent_setting), &unused));
	return context;
}

/* ---- statements that are not trusted ---- */

static char *
distrust(MessageTrust trust, Portal portal)
{
	const char *name = portal && portal->prepStmtName ? portal->prepStmtName : "";

	if (trust == MESSAGE_FROM_POOLER)
		return psprintf("not trusted: a pooler prepared the statement, because its name \"%s\" is "
						"like %s", name, pooler_statement_pattern(name));
	if (trust == MESSAGE_PREPARED_EARLIER)
		return psprintf("not trusted: statement \"%s\" was prepared by an earlier request", name);
	return psprintf("not trusted: statement \"%s\" was closed or prepared anew before it ran",
					name);
}

static const struct varlena *
read_comment(const CaptureSituation *situation, char **why)
{
	MessageTrust trust = client_message_trust(situation->portal);
	const struct varlena *context;

	if (trust != MESSAGE_TRUSTED)
	{
		if (why)
			*why = distrust(trust, situation->portal);
		return NULL;
	}
	context = message_comment_context(situation->message, situation->place);
	if (context == NULL && why)
		*why = message_comment_reason();
	return context;
}

static const struct varlena *
read_session(const CaptureSituation *situation, char **why)
{
	if (client_message_trust(situation->portal) == MESSAGE_FROM_POOLER)
	{
		if (why)
			*why = distrust(MESSAGE_FROM_POOLER, situation->portal);
		return NULL;
	}
	return read_setting(false, why);
}

/* ---- settings of others ---- */

static struct varlena *
read_application_name(const char *value)
{
	if (strncmp(value, DATADOG_PREFIX, strlen(DATADOG_PREFIX)) == 0)
		value += strlen(DATADOG_PREFIX);
	return trace_context_from_headers(value, strlen(value), NULL, 0);
}

/* pg_tracing's setting is written like a comment: traceparent='…',tracestate='…'. */
static struct varlena *
read_pg_tracing(const char *value)
{
	SqlCommenterContext *found = palloc(sizeof(SqlCommenterContext));
	SqlCommenterMessage *message = palloc(sizeof(SqlCommenterMessage));
	char	   *comment = psprintf("/*%s*/", value);
	struct varlena *context = NULL;

	sqlcommenter_open(message, comment, strlen(comment), true);
	if (sqlcommenter_find(message, -1, -1, found) == SQLCOMMENTER_FOUND)
		context = trace_context_make(&found->traceparent, found->tracestate, found->tracestate_len);
	pfree(comment);
	pfree(message);
	pfree(found);
	return context;
}

static void
remember(ForeignSetting *setting, const char *text, const struct varlena *context)
{
	char	   *text_copy = MemoryContextStrdup(TopMemoryContext, text);

	if (setting->text)
		pfree(setting->text);
	if (setting->context)
		pfree(setting->context);
	setting->text = text_copy;
	setting->context = context ? trace_context_copy(context, TopMemoryContext) : NULL;
}

/* The text is parsed only if it differs from the last one. */
static struct varlena *
read_foreign_setting(ContextSource source, char **why)
{
	ForeignSetting *setting = &foreign_settings[source];
	const char *text = GetConfigOption(setting->name, true, false);

	if (text == NULL || *text == '\0')
	{
		if (why)
			*why = psprintf("%s is not set", setting->name);
		return NULL;
	}
	if (setting->text == NULL || strcmp(setting->text, text) != 0)
		remember(setting, text, setting->read(text));
	if (setting->context == NULL && why)
		*why = psprintf("%s holds no valid traceparent%s", setting->name,
						source == CONTEXT_FROM_POSTGREST ? ", or more than one" : "");
	return setting->context;
}

/* ---- all of them ---- */

const struct varlena *
context_source_read(ContextSource source, const CaptureSituation *situation, char **why)
{
	const struct varlena *context;

	switch (source)
	{
		case CONTEXT_FROM_SPAN:
			context = span_stack_current_context();
			if (context == NULL)
				explain(why, "no span is open");
			return context;
		case CONTEXT_FROM_TRANSACTION:
			return read_setting(true, why);
		case CONTEXT_FROM_COMMENT:
			return read_comment(situation, why);
		case CONTEXT_FROM_SESSION:
			return read_session(situation, why);
		default:
			return read_foreign_setting(source, why);
	}
}

const char *
context_source_text(ContextSource source, const CaptureSituation *situation)
{
	switch (source)
	{
		case CONTEXT_FROM_SPAN:
			return NULL;
		case CONTEXT_FROM_TRANSACTION:
			return otel_traceparent_set_in_transaction() ? otel_traceparent_setting : NULL;
		case CONTEXT_FROM_COMMENT:
			return situation->message->text;
		case CONTEXT_FROM_SESSION:
			return otel_traceparent_set_in_transaction() ? NULL : otel_traceparent_setting;
		default:
			return GetConfigOption(foreign_settings[source].name, true, false);
	}
}
