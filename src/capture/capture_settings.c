/*
 * capture_settings.c: the settings that say where contexts come from.
 *
 * Owns otel.traceparent, otel.tracestate, otel.context_sources and otel.pooler_statement_names.
 * otel.propagators, which turns everything off, and the generation are in settings.c.
 *
 * The assign hooks also run at the end of a transaction, when a SET LOCAL is undone, so they do
 * nothing that can fail.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "capture/capture_settings.h"
#include "compat.h"
#include "settings.h"

#define DEFAULT_SOURCES "transaction, comment, session, postgrest, pg_tracing"

/*
 * The names that poolers give to the statements that they prepare on a server for their clients:
 * PgBouncer, PgCat, PgDog, PgDoorman, Odyssey, and Supavisor (older and newer versions).
 */
#define DEFAULT_POOLER_NAMES \
	"PGBOUNCER\\_%, PGCAT\\_%, \\_\\_pgdog\\_%, DOORMAN\\_%, odyssey\\_pstmt\\_%, " \
	"supavisor\\_%, sv\\_%"

char	   *otel_traceparent_setting;
char	   *otel_tracestate_setting;
int			otel_context_sources_used;

const char *const context_source_names[CONTEXT_SOURCE_COUNT] = {
	"span", "transaction", "comment", "application_name", "session", "postgrest", "pg_tracing"
};

static char *context_sources;
static char *pooler_statement_names;
static const char *pooler_patterns; /* each ends with a NUL, and the last is empty */

/* ---- otel.context_sources ---- */

static int
find_source(const char *name)
{
	for (int source = CONTEXT_FROM_TRANSACTION; source < CONTEXT_SOURCE_COUNT; source++)
	{
		if (pg_strcasecmp(name, context_source_names[source]) == 0)
			return source;
	}
	return -1;
}

static bool
check_context_sources(char **newval, void **extra, GucSource source)
{
	int		   *used = guc_malloc(LOG, sizeof(int));
	char	   *copy = pstrdup(*newval);
	List	   *names = NIL;
	ListCell   *cell;
	bool		valid;

	if (used == NULL)
		return false;
	*used = 0;
	valid = SplitGUCList(copy, ',', &names);
	if (!valid)
		GUC_check_errdetail("List syntax is invalid.");
	foreach(cell, names)
	{
		int			number = find_source(lfirst(cell));

		if (number < 0)
		{
			GUC_check_errdetail("\"%s\" is not a source of contexts.", (char *) lfirst(cell));
			GUC_check_errhint("Sources are transaction, comment, application_name, session, "
							  "postgrest and pg_tracing.");
			valid = false;
			break;
		}
		*used |= 1 << number;
	}
	list_free(names);
	pfree(copy);
	if (valid)
		*extra = used;
	else
		guc_free(used);
	return valid;
}

static void
assign_context_sources(const char *newval, void *extra)
{
	otel_context_sources_used = *(int *) extra;
	otel_capture_generation++;
}

/* ---- otel.pooler_statement_names ---- */

/*
 * LIKE raises an error for a pattern that ends with its escape character; that must not happen
 * while a row is inserted.
 */
static bool
ends_with_escape(const char *pattern)
{
	size_t		len = strlen(pattern);
	size_t		backslashes = 0;

	while (backslashes < len && pattern[len - 1 - backslashes] == '\\')
		backslashes++;
	return backslashes % 2 == 1;
}

static bool
check_pooler_statement_names(char **newval, void **extra, GucSource source)
{
	char	   *blob = guc_malloc(LOG, strlen(*newval) + 2);
	char	   *end = blob;
	char	   *copy = pstrdup(*newval);
	List	   *patterns = NIL;
	ListCell   *cell;
	bool		valid;

	if (blob == NULL)
		return false;
	valid = SplitGUCList(copy, ',', &patterns);
	if (!valid)
		GUC_check_errdetail("List syntax is invalid.");
	foreach(cell, patterns)
	{
		const char *pattern = lfirst(cell);

		if (ends_with_escape(pattern))
		{
			GUC_check_errdetail("The pattern \"%s\" ends with an escape character.", pattern);
			valid = false;
		}
		if (*pattern != '\0')
			end = stpcpy(end, pattern) + 1;
	}
	*end = '\0';
	list_free(patterns);
	pfree(copy);
	if (valid)
		*extra = blob;
	else
		guc_free(blob);
	return valid;
}

static void
assign_pooler_statement_names(const char *newval, void *extra)
{
	pooler_patterns = extra;
	otel_capture_generation++;
}

/*
 * LIKE, but byte by byte up to the first wildcard.  Every execution of a named statement tries all
 * patterns, and nearly all of them differ before the wildcard.
 */
static bool
name_is_like(const char *name, const char *pattern)
{
	while (*pattern != '\0' && *pattern != '%' && *pattern != '_')
	{
		if (*pattern == '\\')
			pattern++;
		if (*pattern++ != *name++)
			return false;
	}
	if (strcmp(pattern, "%") == 0)
		return true;
	return DatumGetBool(DirectFunctionCall2Coll(textlike, C_COLLATION_OID,
												CStringGetTextDatum(name),
												CStringGetTextDatum(pattern)));
}

const char *
pooler_statement_pattern(const char *name)
{
	for (const char *pattern = pooler_patterns; *pattern; pattern += strlen(pattern) + 1)
	{
		if (name_is_like(name, pattern))
			return pattern;
	}
	return NULL;
}

/* ---- definitions ---- */

static void
assign_captured(const char *newval, void *extra)
{
	otel_capture_generation++;
}

void
capture_settings_define(void)
{
	DefineCustomStringVariable("otel.traceparent",
							   "The W3C traceparent that current_trace_context() records.", NULL,
							   &otel_traceparent_setting, "", PGC_USERSET, GUC_ALLOW_IN_PARALLEL,
							   NULL, assign_captured, NULL);
	DefineCustomStringVariable("otel.tracestate",
							   "The W3C tracestate that goes with otel.traceparent.", NULL,
							   &otel_tracestate_setting, "", PGC_USERSET, GUC_ALLOW_IN_PARALLEL,
							   NULL, assign_captured, NULL);
	DefineCustomStringVariable("otel.context_sources",
							   "Where the current context may come from, other than from an open "
							   "span: a list of transaction, comment, application_name, session, "
							   "postgrest and pg_tracing.",
							   "The order of the list does not matter.",
							   &context_sources, DEFAULT_SOURCES, PGC_USERSET,
							   GUC_LIST_INPUT | GUC_ALLOW_IN_PARALLEL,
							   check_context_sources, assign_context_sources, NULL);
	DefineCustomStringVariable("otel.pooler_statement_names",
							   "LIKE patterns, separated by commas, of the names that poolers give "
							   "to prepared statements.",
							   NULL, &pooler_statement_names, DEFAULT_POOLER_NAMES, PGC_USERSET,
							   GUC_LIST_INPUT | GUC_ALLOW_IN_PARALLEL,
							   check_pooler_statement_names, assign_pooler_statement_names,
							   NULL);
}
