/*
 * settings.c: defines every setting of the extension and reads the server's environment for them.
 *
 * The rule is that the OpenTelemetry variable OTEL_FOO_BAR is the setting otel.foo_bar, with the same
 * default, units and accepted values, and that the server's environment variable of that name is its
 * default (GucSource PGC_S_ENV_VAR, so the configuration file wins).  An empty variable is an unset one.
 * Settings without an OpenTelemetry name have no variable.
 *
 * Nothing here keeps a server or a session from starting: what a string may not be warns and is replaced
 * by the default, as the OpenTelemetry environment specification asks.  Numbers are PostgreSQL's own
 * integers: nonsense in a configuration file, in ALTER DATABASE … SET or in the environment warns and is
 * ignored; only an interactive SET of such a value is an error.
 *
 * The library may be loaded in the middle of a query with parallel workers, when PostgreSQL takes no value
 * for a setting without GUC_ALLOW_IN_PARALLEL, also none that was given before the library was loaded.
 *
 * The exporter reads its settings by name (src/exporter/config.c): the variables behind them are static.
 */
#include "postgres.h"

#include <limits.h>

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#include "compat.h"
#include "settings.h"

char	   *otel_traceparent_setting;
char	   *otel_tracestate_setting;
char	   *otel_pooler_statement_names;
bool		otel_session_context = true;
bool		otel_propagate = true;
bool		otel_strict;
bool		otel_sdk_disabled;
TracesSampler otel_sampler;
double		otel_sampler_ratio = 1.0;
LinkOverflow otel_link_overflow;
int			otel_span_link_count_limit;
int			otel_span_event_count_limit;
int			otel_event_attribute_count_limit;
int			otel_link_attribute_count_limit;
int			otel_queue_max_size;
int			otel_bsp_max_export_batch_size;
uint64		otel_capture_generation = 1;

static char *propagators;
static char *traces_sampler;
static char *traces_sampler_arg;
static char *link_overflow;
static int	attribute_count_limit;
static int	attribute_value_length_limit;
static int	span_attribute_count_limit;
static int	span_attribute_value_length_limit;

#define POOLER_STATEMENT_NAMES "PGBOUNCER_%"

/* The words of a setting that is a choice; the first is the default. */
static const char *const sampler_words[] = {
	"parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio",
	"always_on", "always_off", "traceidratio", "linksbased_parentbased_always_on", NULL
};
static const char *const overflow_words[] = {"drop", "split", NULL};
static const char *const exporter_words[] = {"otlp", "none", NULL};
static const char *const protocol_words[] = {"http/protobuf", "http/json", NULL};
static const char *const traces_protocol_words[] = {"", "http/protobuf", "http/json", NULL};
static const char *const compression_words[] = {"none", "gzip", NULL};
static const char *const traces_compression_words[] = {"", "none", "gzip", NULL};

int
otel_effective_attribute_count_limit(void)
{
	return span_attribute_count_limit >= 0 ? span_attribute_count_limit : attribute_count_limit;
}

int
otel_effective_attribute_value_length_limit(void)
{
	return span_attribute_value_length_limit >= 0 ?
		span_attribute_value_length_limit : attribute_value_length_limit;
}

/* ---- check and assign hooks ---- */

/* Warns that a value is ignored and puts the default in its place. */
static bool
use_default(const char *setting, char **newval, const char *fallback)
{
	char	   *copy = guc_strdup(LOG, fallback);

	if (copy == NULL)
		return false;
	ereport(WARNING,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("ignoring invalid value for parameter \"%s\": \"%.*s\"", setting,
					pg_mbcliplen(*newval, strlen(*newval), 64), *newval),
			 errdetail("\"%s\" is used instead.", fallback)));
	guc_free(*newval);
	*newval = copy;
	return true;
}

/* Accepts one of the words in any case and keeps it as it is written here; its number is the extra. */
static bool
check_word(const char *setting, const char *const *words, char **newval, void **extra)
{
	int		   *number = guc_malloc(LOG, sizeof(int));

	if (number == NULL)
		return false;
	*number = 0;
	for (int i = 0; words[i]; i++)
	{
		if (pg_strcasecmp(*newval, words[i]) == 0)
		{
			memcpy(*newval, words[i], strlen(words[i]));
			*number = i;
			*extra = number;
			return true;
		}
	}
	*extra = number;
	return use_default(setting, newval, words[0]);
}

static bool
check_traces_sampler(char **newval, void **extra, GucSource source)
{
	return check_word("otel.traces_sampler", sampler_words, newval, extra);
}

static void
assign_traces_sampler(const char *newval, void *extra)
{
	otel_sampler = (TracesSampler) *(int *) extra;
}

static bool
check_link_overflow(char **newval, void **extra, GucSource source)
{
	return check_word("otel.link_overflow", overflow_words, newval, extra);
}

static void
assign_link_overflow(const char *newval, void *extra)
{
	otel_link_overflow = (LinkOverflow) *(int *) extra;
}

static bool
check_traces_exporter(char **newval, void **extra, GucSource source)
{
	return check_word("otel.traces_exporter", exporter_words, newval, extra);
}

static bool
check_protocol(char **newval, void **extra, GucSource source)
{
	return check_word("otel.exporter_otlp_protocol", protocol_words, newval, extra);
}

static bool
check_traces_protocol(char **newval, void **extra, GucSource source)
{
	return check_word("otel.exporter_otlp_traces_protocol", traces_protocol_words, newval, extra);
}

static bool
check_compression(char **newval, void **extra, GucSource source)
{
	return check_word("otel.exporter_otlp_compression", compression_words, newval, extra);
}

static bool
check_traces_compression(char **newval, void **extra, GucSource source)
{
	return check_word("otel.exporter_otlp_traces_compression", traces_compression_words, newval, extra);
}

/* A ratio from 0 to 1; the empty string is 1, as OpenTelemetry has it. */
static bool
check_sampler_arg(char **newval, void **extra, GucSource source)
{
	double	   *ratio = guc_malloc(LOG, sizeof(double));
	char	   *end = *newval;

	if (ratio == NULL)
		return false;
	*extra = ratio;
	*ratio = 1.0;
	if (**newval == '\0')
		return true;
	*ratio = strtod(*newval, &end);
	if (*end == '\0' && *ratio >= 0.0 && *ratio <= 1.0)
		return true;
	*ratio = 1.0;
	return use_default("otel.traces_sampler_arg", newval, "");
}

static void
assign_sampler_arg(const char *newval, void *extra)
{
	otel_sampler_ratio = *(double *) extra;
}

/* A list of propagators: tracecontext is ours, other known names are somebody else's, none stops all. */
static bool
check_propagators(char **newval, void **extra, GucSource source)
{
	bool	   *on = guc_malloc(LOG, sizeof(bool));
	char	   *copy = pstrdup(*newval);
	List	   *names;
	ListCell   *cell;
	bool		valid;

	if (on == NULL)
		return false;
	*on = false;
	valid = SplitGUCList(copy, ',', &names);
	foreach(cell, names)
	{
		const char *name = lfirst(cell);

		if (pg_strcasecmp(name, "tracecontext") == 0)
			*on = true;
		else if (pg_strcasecmp(name, "none") == 0)
		{
			*on = false;
			break;
		}
	}
	list_free(names);
	pfree(copy);
	*extra = on;
	if (valid)
		return true;
	*on = true;
	return use_default("otel.propagators", newval, "tracecontext,baggage");
}

static void
assign_propagators(const char *newval, void *extra)
{
	otel_propagate = *(bool *) extra;
	otel_capture_generation++;
}

/* LIKE patterns; one that LIKE would refuse must not surface where a row is inserted. */
static bool
check_pooler_statement_names(char **newval, void **extra, GucSource source)
{
	char	   *copy = pstrdup(*newval);
	List	   *patterns;
	ListCell   *cell;
	bool		valid = SplitGUCList(copy, ',', &patterns);

	foreach(cell, patterns)
	{
		const char *pattern = lfirst(cell);
		size_t		len = strlen(pattern);
		size_t		backslashes = 0;

		while (backslashes < len && pattern[len - 1 - backslashes] == '\\')
			backslashes++;
		valid &= backslashes % 2 == 0;
	}
	list_free(patterns);
	pfree(copy);
	return valid || use_default("otel.pooler_statement_names", newval, POOLER_STATEMENT_NAMES);
}

/* Also called at a transaction's end, when a SET LOCAL is undone: it may do nothing that can fail. */
static void
assign_captured(const char *newval, void *extra)
{
	otel_capture_generation++;
}

/* Headers carry keys, and what is in a setting can be read by others: they come from elsewhere. */
static bool
check_headers(char **newval, void **extra, GucSource source)
{
	char	   *empty;

	if (**newval == '\0')
		return true;
	if ((empty = guc_strdup(LOG, "")) == NULL)
		return false;
	ereport(WARNING,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("headers for the exporter are not read from a setting"),
			 errdetail("They carry keys, and settings can be read by others."),
			 errhint("Use the environment variable OTEL_EXPORTER_OTLP_HEADERS of the server, or a file "
					 "named by otel.exporter_otlp_headers_file.")));
	guc_free(*newval);
	*newval = empty;
	return true;
}

static const char *
show_nothing(void)
{
	return "";
}

/* ---- which settings were changed in this transaction ---- */

/*
 * The setting's entry in PostgreSQL's own table.  It is allocated once and never moves; the search is
 * done once a backend.
 */
static struct config_generic *
find_setting(const char *name)
{
#if PG_VERSION_NUM >= 160000
	return find_option(name, false, true, DEBUG5);
#else
	struct config_generic **all = get_guc_variables();

	for (int i = 0; i < GetNumConfigOptions(); i++)
	{
		if (strcmp(all[i]->name, name) == 0)
			return all[i];
	}
	return NULL;
#endif
}

/*
 * A setting has a stack of former values as long as the transaction that changed it runs; it goes with
 * the transaction, and it is carried over when the value was set before this library was loaded.
 */
static bool
set_in_transaction(struct config_generic **setting, const char *name)
{
	if (*setting == NULL)
		*setting = find_setting(name);
	return *setting != NULL && (*setting)->stack != NULL;
}

bool
otel_traceparent_set_in_transaction(void)
{
	static struct config_generic *setting = NULL;

	return set_in_transaction(&setting, "otel.traceparent");
}

bool
otel_tracestate_set_in_transaction(void)
{
	static struct config_generic *setting = NULL;

	return set_in_transaction(&setting, "otel.tracestate");
}

bool
otel_literals_changed_in_transaction(void)
{
	static struct config_generic *setting = NULL;

	return set_in_transaction(&setting, "standard_conforming_strings");
}

/* ---- definitions ---- */

/*
 * Makes a value the one that is left when the setting's line is taken out of the configuration file.
 * PostgreSQL reads the variables of its own settings again then, and knows nothing of ours.
 */
static void
set_boot_value(const char *name, const char *value)
{
	struct config_generic *setting = find_setting(name);
	int			number;

	switch (setting->vartype)
	{
		case PGC_BOOL:
			guc_as(setting, bool)->boot_val = pg_strcasecmp(value, "true") == 0;
			break;
		case PGC_INT:
			if (parse_int(value, &number, setting->flags, NULL) &&
				number >= guc_as(setting, int)->min && number <= guc_as(setting, int)->max)
				guc_as(setting, int)->boot_val = number;
			break;
		case PGC_STRING:
			guc_as(setting, string)->boot_val = MemoryContextStrdup(TopMemoryContext, value);
			break;
		default:
			break;
	}
}

/*
 * Takes the server's environment variable as the setting's default.  Booleans follow OpenTelemetry, not
 * PostgreSQL: "true" in any case is true, and only "false" is false without a warning.
 */
static void
apply_environment(const char *name, bool is_bool)
{
	char		variable[NAMEDATALEN * 2];
	const char *value;
	int			i;

	for (i = 0; name[i] && i < (int) sizeof(variable) - 1; i++)
		variable[i] = name[i] == '.' ? '_' : pg_ascii_toupper((unsigned char) name[i]);
	variable[i] = '\0';

	value = getenv(variable);
	if (value == NULL || *value == '\0')
		return;
	if (is_bool && pg_strcasecmp(value, "true") != 0 && pg_strcasecmp(value, "false") != 0)
	{
		ereport(WARNING,
				(errmsg("ignoring environment variable %s: it is neither \"true\" nor \"false\"",
						variable)));
		return;
	}
	set_boot_value(name, value);
	if (GUC_ALLOW_IN_PARALLEL != 0 || !IsInParallelMode())
		(void) set_config_option(name, value, PGC_POSTMASTER, PGC_S_ENV_VAR,
								 GUC_ACTION_SET, true, WARNING, false);
}

typedef struct StringSetting
{
	const char *name;
	char	  **variable;		/* NULL: read by name */
	const char *boot;
	GucContext	context;
	bool		from_environment;
	GucStringCheckHook check;
	GucStringAssignHook assign;
	GucShowHook show;
	const char *description;
} StringSetting;

typedef struct IntSetting
{
	const char *name;
	int		   *variable;		/* NULL: read by name */
	int			boot;
	int			min;
	GucContext	context;
	int			unit;
	bool		from_environment;
	const char *description;
} IntSetting;

static const StringSetting string_settings[] = {
	{"otel.traceparent", &otel_traceparent_setting, "", PGC_USERSET, false, NULL, assign_captured, NULL,
	"The W3C traceparent that current_trace_context() records."},
	{"otel.tracestate", &otel_tracestate_setting, "", PGC_USERSET, false, NULL, assign_captured, NULL,
	"The W3C tracestate that goes with otel.traceparent."},
	{"otel.propagators", &propagators, "tracecontext,baggage", PGC_USERSET, true,
		check_propagators, assign_propagators, NULL,
	"Propagators in use; without tracecontext, or with none, nothing is captured."},
	{"otel.pooler_statement_names", &otel_pooler_statement_names, POOLER_STATEMENT_NAMES, PGC_USERSET,
		false, check_pooler_statement_names, assign_captured, NULL,
	"LIKE patterns, separated by commas, of prepared statement names that a pooler makes."},
	{"otel.traces_sampler", &traces_sampler, "parentbased_always_on", PGC_USERSET, true,
		check_traces_sampler, assign_traces_sampler, NULL,
	"Which spans are recorded: always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, "
	"parentbased_traceidratio, or linksbased_parentbased_always_on (sampled when any link is)."},
	{"otel.traces_sampler_arg", &traces_sampler_arg, "", PGC_USERSET, true,
		check_sampler_arg, assign_sampler_arg, NULL,
	"The ratio of the traceidratio samplers, from 0 to 1."},
	{"otel.link_overflow", &link_overflow, "drop", PGC_USERSET, false,
		check_link_overflow, assign_link_overflow, NULL,
	"What becomes of links above the limit: drop counts them, split records further spans."},
	{"otel.traces_exporter", NULL, "otlp", PGC_SUSET, true, check_traces_exporter, NULL, NULL,
	"otlp exports the spans in the queue, none holds them back."},
	{"otel.exporter_otlp_endpoint", NULL, "http://localhost:4318", PGC_SUSET, true, NULL, NULL, NULL,
	"Base URL of the collector; v1/traces is appended to its path."},
	{"otel.exporter_otlp_traces_endpoint", NULL, "", PGC_SUSET, true, NULL, NULL, NULL,
	"URL for traces, used as it is."},
	{"otel.exporter_otlp_protocol", NULL, "http/protobuf", PGC_SUSET, true, check_protocol, NULL, NULL,
	"http/protobuf or http/json."},
	{"otel.exporter_otlp_traces_protocol", NULL, "", PGC_SUSET, true, check_traces_protocol, NULL, NULL,
	"The protocol for traces, before otel.exporter_otlp_protocol."},
	{"otel.exporter_otlp_compression", NULL, "none", PGC_SUSET, true, check_compression, NULL, NULL,
	"none or gzip."},
	{"otel.exporter_otlp_traces_compression", NULL, "", PGC_SUSET, true,
		check_traces_compression, NULL, NULL,
	"The compression for traces, before otel.exporter_otlp_compression."},
	{"otel.exporter_otlp_headers", NULL, "", PGC_SUSET, false, check_headers, NULL, show_nothing,
	"Not read: headers come from the server's environment or otel.exporter_otlp_headers_file."},
	{"otel.exporter_otlp_traces_headers", NULL, "", PGC_SUSET, false, check_headers, NULL, show_nothing,
	"Not read: headers come from the server's environment or otel.exporter_otlp_headers_file."},
	{"otel.exporter_otlp_headers_file", NULL, "", PGC_SUSET, false, NULL, NULL, NULL,
	"File with request headers, key=value, one a line."},
	{"otel.exporter_otlp_certificate", NULL, "", PGC_SUSET, true, NULL, NULL, NULL,
	"File with the CA certificates that the collector's certificate is verified with."},
	{"otel.exporter_otlp_traces_certificate", NULL, "", PGC_SUSET, true, NULL, NULL, NULL,
	"The CA certificates for traces, before otel.exporter_otlp_certificate."},
	{"otel.exporter_otlp_client_certificate", NULL, "", PGC_SUSET, true, NULL, NULL, NULL,
	"File with the client certificate."},
	{"otel.exporter_otlp_traces_client_certificate", NULL, "", PGC_SUSET, true, NULL, NULL, NULL,
	"The client certificate for traces, before otel.exporter_otlp_client_certificate."},
	{"otel.exporter_otlp_client_key", NULL, "", PGC_SUSET, true, NULL, NULL, NULL,
	"File with the client certificate's key."},
	{"otel.exporter_otlp_traces_client_key", NULL, "", PGC_SUSET, true, NULL, NULL, NULL,
	"The client key for traces, before otel.exporter_otlp_client_key."},
	{"otel.service_name", NULL, "", PGC_SUSET, true, NULL, NULL, NULL,
	"The resource's service.name."},
	{"otel.resource_attributes", NULL, "", PGC_SUSET, true, NULL, NULL, NULL,
	"The resource's attributes: key=value, separated by commas, percent-encoded."},
};

static const IntSetting int_settings[] = {
	{"otel.attribute_count_limit", &attribute_count_limit, 128, 0, PGC_USERSET, 0, true,
	"Attributes a span may have; events and links have limits of their own."},
	{"otel.attribute_value_length_limit", &attribute_value_length_limit, -1, -1, PGC_USERSET, 0, true,
	"Characters a string in an attribute may have; -1 is no limit."},
	{"otel.span_attribute_count_limit", &span_attribute_count_limit, -1, -1, PGC_USERSET, 0, true,
	"Attributes a span may have; -1 leaves it to otel.attribute_count_limit."},
	{"otel.span_attribute_value_length_limit", &span_attribute_value_length_limit, -1, -1,
		PGC_USERSET, 0, true,
	"Characters a string in an attribute of a span, or of its events and links, may have; "
	"-1 leaves it to otel.attribute_value_length_limit."},
	{"otel.span_event_count_limit", &otel_span_event_count_limit, 128, 0, PGC_USERSET, 0, true,
	"Events a span may have."},
	{"otel.span_link_count_limit", &otel_span_link_count_limit, 128, 0, PGC_USERSET, 0, true,
	"Links a span may have."},
	{"otel.event_attribute_count_limit", &otel_event_attribute_count_limit, 128, 0, PGC_USERSET, 0, true,
	"Attributes an event may have."},
	{"otel.link_attribute_count_limit", &otel_link_attribute_count_limit, 128, 0, PGC_USERSET, 0, true,
	"Attributes a link may have."},
	{"otel.exporter_otlp_timeout", NULL, 10000, 0, PGC_SUSET, GUC_UNIT_MS, true,
	"How long one request to the collector may take."},
	{"otel.exporter_otlp_traces_timeout", NULL, -1, -1, PGC_SUSET, GUC_UNIT_MS, true,
	"The same for traces; -1 leaves it to otel.exporter_otlp_timeout."},
	{"otel.bsp_schedule_delay", NULL, 5000, 0, PGC_SUSET, GUC_UNIT_MS, true,
	"How long the exporter waits between two looks at the queue."},
	{"otel.bsp_export_timeout", NULL, 30000, 0, PGC_SUSET, GUC_UNIT_MS, true,
	"How long the export of one batch may take."},
	{"otel.bsp_max_export_batch_size", &otel_bsp_max_export_batch_size, 512, 1, PGC_SUSET, 0, true,
	"Spans in one request at most."},
	{"otel.exporter_idle_timeout", NULL, 30000, 0, PGC_SUSET, GUC_UNIT_MS, false,
	"How long the exporter stays without work."},
	{"otel.retention", NULL, 0, 0, PGC_SUSET, GUC_UNIT_S, false,
	"How long exported spans are kept in otel.exported_spans; 0 keeps none."},
	{"otel.queue_max_size", &otel_queue_max_size, 1024 * 1024, 64, PGC_SUSET, GUC_UNIT_KB, false,
	"Size of the queue above which the oldest spans are dropped."},
};

/*
 * Settings that are read by name still need a variable each.  They are as many as the tables have rows;
 * a backend never looks at them.
 */
static char *strings_by_name[lengthof(string_settings)];
static int	ints_by_name[lengthof(int_settings)];

static void
assign_session_context(bool newval, void *extra)
{
	otel_capture_generation++;
}

static void
define_booleans(void)
{
	DefineCustomBoolVariable("otel.session_context",
							 "Takes otel.traceparent into account also when it was set for the session or the connection.",
							 "Turn it off where clients share connections through a transaction pooler.",
							 &otel_session_context, true, PGC_USERSET, GUC_ALLOW_IN_PARALLEL, NULL, assign_session_context, NULL);
	DefineCustomBoolVariable("otel.strict",
							 "Makes misuse of the span functions an error instead of a warning.",
							 NULL, &otel_strict, false, PGC_USERSET, GUC_ALLOW_IN_PARALLEL, NULL, NULL, NULL);
	DefineCustomBoolVariable("otel.sdk_disabled",
							 "Makes spans no-ops; capture and propagation go on.",
							 NULL, &otel_sdk_disabled, false, PGC_USERSET, GUC_ALLOW_IN_PARALLEL, NULL, NULL, NULL);
	apply_environment("otel.sdk_disabled", true);
}

void
settings_define(void)
{
	define_booleans();
	for (int i = 0; i < (int) lengthof(string_settings); i++)
	{
		const StringSetting *s = &string_settings[i];

		DefineCustomStringVariable(s->name, s->description, NULL,
								   s->variable ? s->variable : &strings_by_name[i], s->boot,
								   s->context,
								   GUC_ALLOW_IN_PARALLEL | (s->show ? GUC_SUPERUSER_ONLY : 0),
								   s->check, s->assign, s->show);
		if (s->from_environment)
			apply_environment(s->name, false);
	}
	for (int i = 0; i < (int) lengthof(int_settings); i++)
	{
		const IntSetting *s = &int_settings[i];

		DefineCustomIntVariable(s->name, s->description, NULL,
								s->variable ? s->variable : &ints_by_name[i], s->boot,
								s->min, INT_MAX, s->context, GUC_ALLOW_IN_PARALLEL | s->unit,
								NULL, NULL, NULL);
		if (s->from_environment)
			apply_environment(s->name, false);
	}
}
