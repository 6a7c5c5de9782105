/*
 * settings.c: defines all settings but those of capture (capture/capture_settings.c).
 *
 * An OpenTelemetry variable OTEL_FOO_BAR has the setting otel.foo_bar, with the same default, units
 * and accepted values, and the variable is the setting's default (environment.c).  Settings without
 * an OpenTelemetry name have no variable.
 *
 * Nothing here keeps a server or a session from starting.  An invalid string causes a warning and
 * is replaced by the default, as the OpenTelemetry environment specification asks.  Numbers and
 * choices are PostgreSQL's integers and enums: an invalid value in a configuration file or in ALTER
 * DATABASE … SET causes a warning and is ignored; only an interactive SET of such a value is an
 * error.  Choices have hidden values, which pg_settings does not list: the empty string, which
 * counts as unset, and values of OpenTelemetry that are not supported here.
 *
 * Changing the exporter's settings needs a superuser, or the privilege to SET them.
 */
#include "postgres.h"

#include <limits.h>

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "compat.h"
#include "environment.h"
#include "setting_entry.h"
#include "settings.h"

bool		otel_propagate = true;
bool		otel_strict;
bool		otel_sdk_disabled;
int			otel_traces_sampler;
double		otel_sampler_ratio = 1.0;
int			otel_link_overflow;
int			otel_span_link_count_limit;
int			otel_span_event_count_limit;
int			otel_event_attribute_count_limit;
int			otel_link_attribute_count_limit;
int			otel_queue_max_size;
int			otel_bsp_max_export_batch_size;
int			otel_traces_exporter;
char	   *otel_exporter_otlp_endpoint;
char	   *otel_exporter_otlp_traces_endpoint;
int			otel_exporter_otlp_protocol;
int			otel_exporter_otlp_traces_protocol;
int			otel_exporter_otlp_compression;
int			otel_exporter_otlp_traces_compression;
char	   *otel_exporter_otlp_headers_file;
char	   *otel_exporter_otlp_certificate;
char	   *otel_exporter_otlp_traces_certificate;
char	   *otel_exporter_otlp_client_certificate;
char	   *otel_exporter_otlp_traces_client_certificate;
char	   *otel_exporter_otlp_client_key;
char	   *otel_exporter_otlp_traces_client_key;
int			otel_exporter_otlp_timeout;
int			otel_exporter_otlp_traces_timeout;
int			otel_bsp_schedule_delay;
int			otel_bsp_export_timeout;
int			otel_exporter_idle_timeout;
int			otel_exporter_max_concurrent_requests;
int			otel_exporter_max_request_size;
int			otel_retention;
char	   *otel_service_name;
char	   *otel_resource_attributes;
uint64		otel_capture_generation = 1;

static char *propagators;
static char *traces_sampler_arg;
static char *unread_headers;
static char *unread_traces_headers;
static int	attribute_count_limit;
static int	attribute_value_length_limit;
static int	span_attribute_count_limit;
static int	span_attribute_value_length_limit;

/* The values of enum settings; those with true are hidden. */
static const struct config_enum_entry sampler_options[] = {
	{"always_on", SAMPLER_ALWAYS_ON, false},
	{"always_off", SAMPLER_ALWAYS_OFF, false},
	{"traceidratio", SAMPLER_TRACEIDRATIO, false},
	{"parentbased_always_on", SAMPLER_PARENTBASED_ALWAYS_ON, false},
	{"parentbased_always_off", SAMPLER_PARENTBASED_ALWAYS_OFF, false},
	{"parentbased_traceidratio", SAMPLER_PARENTBASED_TRACEIDRATIO, false},
	{"linksbased_parentbased_always_on", SAMPLER_LINKSBASED_PARENTBASED_ALWAYS_ON, false},
	{"", SAMPLER_PARENTBASED_ALWAYS_ON, true},
	{NULL, 0, false}
};
static const struct config_enum_entry overflow_options[] = {
	{"drop", LINK_OVERFLOW_DROP, false},
	{"split", LINK_OVERFLOW_SPLIT, false},
	{NULL, 0, false}
};
static const struct config_enum_entry exporter_options[] = {
	{"otlp", TRACES_EXPORTER_OTLP, false},
	{"none", TRACES_EXPORTER_NONE, false},
	{"", TRACES_EXPORTER_OTLP, true},
	{NULL, 0, false}
};
static const struct config_enum_entry protocol_options[] = {
	{"http/protobuf", OTLP_PROTOCOL_HTTP_PROTOBUF, false},
	{"http/json", OTLP_PROTOCOL_HTTP_JSON, false},
	{"grpc", OTLP_PROTOCOL_GRPC, true},
	{"", OTLP_PROTOCOL_UNSET, true},
	{NULL, 0, false}
};
static const struct config_enum_entry compression_options[] = {
	{"none", OTLP_COMPRESSION_NONE, false},
	{"gzip", OTLP_COMPRESSION_GZIP, false},
	{"", OTLP_COMPRESSION_UNSET, true},
	{NULL, 0, false}
};

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

/*
 * Replaces an invalid value by the default, with a warning.  The exporter reports those of the
 * server's environment.
 */
static bool
use_default(const char *setting, char **newval, const char *fallback, GucSource source)
{
	char	   *copy = guc_strdup(LOG, fallback);

	if (copy == NULL)
		return false;
	if (source != PGC_S_ENV_VAR)
		ereport(WARNING,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ignoring invalid value for parameter \"%s\": \"%.*s\"", setting,
						pg_mbcliplen(*newval, strlen(*newval), 64), *newval),
				 errdetail("\"%s\" is used instead.", fallback)));
	guc_free(*newval);
	*newval = copy;
	return true;
}

/*
 * gRPC is OpenTelemetry's default in some languages, but not supported here.  The exporter reports
 * it if it comes from the server's environment.
 */
static bool
check_protocol(int *newval, void **extra, GucSource source)
{
	if (*newval != OTLP_PROTOCOL_GRPC)
		return true;
	if (source != PGC_S_ENV_VAR)
		ereport(WARNING,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("protocol \"grpc\" is not supported"),
				 errdetail("\"http/protobuf\" is used instead.")));
	*newval = OTLP_PROTOCOL_HTTP_PROTOBUF;
	return true;
}

/* A ratio from 0 to 1; the empty string means 1, as in OpenTelemetry. */
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
	return use_default("otel.traces_sampler_arg", newval, "", source);
}

static void
assign_sampler_arg(const char *newval, void *extra)
{
	otel_sampler_ratio = *(double *) extra;
}

/*
 * A list of propagators: tracecontext turns capture on, none turns everything off, and other names
 * are ignored.
 */
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
	return use_default("otel.propagators", newval, "tracecontext,baggage", source);
}

static void
assign_propagators(const char *newval, void *extra)
{
	otel_propagate = *(bool *) extra;
	otel_capture_generation++;
}

/* Headers may contain secrets, and settings can be read by others, so they come from elsewhere. */
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
			 errhint("Use the environment variable OTEL_EXPORTER_OTLP_HEADERS of the server, "
					 "or a file "
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

/* ---- definitions ---- */

typedef struct StringSetting
{
	const char *name;
	char	  **variable;
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
	int		   *variable;
	int			boot;
	int			min;
	int			max;
	GucContext	context;
	int			unit;
	bool		from_environment;
	const char *description;
} IntSetting;

typedef struct EnumSetting
{
	const char *name;
	int		   *variable;
	int			boot;
	const struct config_enum_entry *options;
	GucContext	context;
	bool		from_environment;
	GucEnumCheckHook check;
	const char *description;
} EnumSetting;

static const EnumSetting enum_settings[] = {
	{"otel.traces_sampler", &otel_traces_sampler, SAMPLER_PARENTBASED_ALWAYS_ON, sampler_options,
		PGC_USERSET, true, NULL,
	"Which spans are recorded; linksbased_parentbased_always_on records those with a sampled "
	"link."},
	{"otel.link_overflow", &otel_link_overflow, LINK_OVERFLOW_SPLIT, overflow_options,
		PGC_USERSET, false, NULL,
	"What becomes of links above the limit: drop counts them, split records further spans."},
	{"otel.traces_exporter", &otel_traces_exporter, TRACES_EXPORTER_OTLP, exporter_options,
		PGC_SUSET, true, NULL,
	"otlp exports the spans in the queue, none holds them back."},
	{"otel.exporter_otlp_protocol", &otel_exporter_otlp_protocol, OTLP_PROTOCOL_HTTP_PROTOBUF,
		protocol_options, PGC_SUSET, true, check_protocol,
	"The encoding of requests."},
	{"otel.exporter_otlp_traces_protocol", &otel_exporter_otlp_traces_protocol, OTLP_PROTOCOL_UNSET,
		protocol_options, PGC_SUSET, true, check_protocol,
	"The protocol for traces; overrides otel.exporter_otlp_protocol."},
	{"otel.exporter_otlp_compression", &otel_exporter_otlp_compression, OTLP_COMPRESSION_NONE,
		compression_options, PGC_SUSET, true, NULL,
	"The compression of requests."},
	{"otel.exporter_otlp_traces_compression", &otel_exporter_otlp_traces_compression,
		OTLP_COMPRESSION_UNSET, compression_options, PGC_SUSET, true, NULL,
	"The compression for traces; overrides otel.exporter_otlp_compression."},
};

static const StringSetting string_settings[] = {
	{"otel.propagators", &propagators, "tracecontext,baggage", PGC_USERSET, true,
		check_propagators, assign_propagators, NULL,
	"Propagators in use; without tracecontext, or with none, nothing is captured."},
	{"otel.traces_sampler_arg", &traces_sampler_arg, "", PGC_USERSET, true,
		check_sampler_arg, assign_sampler_arg, NULL,
	"The ratio of the traceidratio samplers, from 0 to 1."},
	{"otel.exporter_otlp_endpoint", &otel_exporter_otlp_endpoint, OTEL_DEFAULT_ENDPOINT,
		PGC_SUSET, true, NULL, NULL, NULL,
	"Base URL of the collector; v1/traces is appended to its path."},
	{"otel.exporter_otlp_traces_endpoint", &otel_exporter_otlp_traces_endpoint, "", PGC_SUSET,
		true, NULL, NULL, NULL,
	"URL for traces, used as it is."},
	{"otel.exporter_otlp_headers", &unread_headers, "", PGC_SUSET, false, check_headers, NULL,
		show_nothing,
	"Not read: headers come from the server's environment or otel.exporter_otlp_headers_file."},
	{"otel.exporter_otlp_traces_headers", &unread_traces_headers, "", PGC_SUSET, false,
		check_headers, NULL, show_nothing,
	"Not read: headers come from the server's environment or otel.exporter_otlp_headers_file."},
	{"otel.exporter_otlp_headers_file", &otel_exporter_otlp_headers_file, "", PGC_SUSET,
		false, NULL, NULL, NULL,
	"File with request headers, one key=value on each line."},
	{"otel.exporter_otlp_certificate", &otel_exporter_otlp_certificate, "", PGC_SUSET, true,
		NULL, NULL, NULL,
	"File with the CA certificates that verify the collector's certificate."},
	{"otel.exporter_otlp_traces_certificate", &otel_exporter_otlp_traces_certificate, "",
		PGC_SUSET, true, NULL, NULL, NULL,
	"The CA certificates for traces; overrides otel.exporter_otlp_certificate."},
	{"otel.exporter_otlp_client_certificate", &otel_exporter_otlp_client_certificate, "",
		PGC_SUSET, true, NULL, NULL, NULL,
	"File with the client certificate."},
	{"otel.exporter_otlp_traces_client_certificate",
		&otel_exporter_otlp_traces_client_certificate, "", PGC_SUSET, true, NULL, NULL, NULL,
	"The client certificate for traces; overrides otel.exporter_otlp_client_certificate."},
	{"otel.exporter_otlp_client_key", &otel_exporter_otlp_client_key, "", PGC_SUSET, true,
		NULL, NULL, NULL,
	"File with the client certificate's key."},
	{"otel.exporter_otlp_traces_client_key", &otel_exporter_otlp_traces_client_key, "",
		PGC_SUSET, true, NULL, NULL, NULL,
	"The client key for traces; overrides otel.exporter_otlp_client_key."},
	{"otel.service_name", &otel_service_name, "", PGC_SUSET, true, NULL, NULL, NULL,
	"The resource's service.name."},
	{"otel.resource_attributes", &otel_resource_attributes, "", PGC_SUSET, true, NULL, NULL, NULL,
	"The resource's attributes: key=value, separated by commas, percent-encoded."},
};

static const IntSetting int_settings[] = {
	{"otel.attribute_count_limit", &attribute_count_limit, 128, 0, INT_MAX, PGC_USERSET, 0, true,
	"Maximum number of attributes of a span; events and links have their own limits."},
	{"otel.attribute_value_length_limit", &attribute_value_length_limit, -1, -1, INT_MAX,
		PGC_USERSET, 0, true,
	"Maximum length of a string in an attribute, in characters; -1 means no limit."},
	{"otel.span_attribute_count_limit", &span_attribute_count_limit, -1, -1, INT_MAX,
		PGC_USERSET, 0, true,
	"Maximum number of attributes of a span; -1 means otel.attribute_count_limit."},
	{"otel.span_attribute_value_length_limit", &span_attribute_value_length_limit, -1, -1, INT_MAX,
		PGC_USERSET, 0, true,
	"Maximum length of a string in an attribute of a span, its events and its links, in "
	"characters; -1 means otel.attribute_value_length_limit."},
	{"otel.span_event_count_limit", &otel_span_event_count_limit, 128, 0, INT_MAX,
		PGC_USERSET, 0, true,
	"Maximum number of events of a span."},
	{"otel.span_link_count_limit", &otel_span_link_count_limit, 128, 0, INT_MAX, PGC_USERSET,
		0, true,
	"Maximum number of links of a span."},
	{"otel.event_attribute_count_limit", &otel_event_attribute_count_limit, 128, 0, INT_MAX,
		PGC_USERSET, 0, true,
	"Maximum number of attributes of an event."},
	{"otel.link_attribute_count_limit", &otel_link_attribute_count_limit, 128, 0, INT_MAX,
		PGC_USERSET, 0, true,
	"Maximum number of attributes of a link."},
	{"otel.exporter_otlp_timeout", &otel_exporter_otlp_timeout, 10000, 0, INT_MAX, PGC_SUSET,
		GUC_UNIT_MS, true,
	"How long one request to the collector may take."},
	{"otel.exporter_otlp_traces_timeout", &otel_exporter_otlp_traces_timeout, -1, -1, INT_MAX,
		PGC_SUSET, GUC_UNIT_MS, true,
	"How long one request with traces may take; -1 means otel.exporter_otlp_timeout."},
	{"otel.bsp_schedule_delay", &otel_bsp_schedule_delay, 5000, 0, INT_MAX, PGC_SUSET,
		GUC_UNIT_MS, true,
	"How long the exporter waits between two looks at the queue."},
	{"otel.bsp_export_timeout", &otel_bsp_export_timeout, 30000, 0, INT_MAX, PGC_SUSET,
		GUC_UNIT_MS, true,
	"How long the export of one batch may take."},
	{"otel.bsp_max_export_batch_size", &otel_bsp_max_export_batch_size, 512, 1, INT_MAX,
		PGC_SUSET, 0, true,
	"Maximum number of spans in one request."},
	{"otel.exporter_idle_timeout", &otel_exporter_idle_timeout, 30000, 0, INT_MAX, PGC_SUSET,
		GUC_UNIT_MS, false,
	"How long the exporter keeps running without work."},
	{"otel.retention", &otel_retention, 0, 0, INT_MAX, PGC_SUSET, GUC_UNIT_S, false,
	"How long exported spans are kept in otel.exported_spans; 0 keeps none."},
	{"otel.queue_max_size", &otel_queue_max_size, 1024 * 1024, 64, INT_MAX, PGC_SUSET,
		GUC_UNIT_KB, false,
	"Size of the queue above which the oldest spans are dropped."},
	{"otel.exporter_max_concurrent_requests", &otel_exporter_max_concurrent_requests, 16, 1, 64,
		PGC_SUSET, 0, false,
	"Maximum number of simultaneous requests to the collector."},
	{"otel.exporter_max_request_size", &otel_exporter_max_request_size, 64 * 1024, 1, 256 * 1024,
		PGC_SUSET, GUC_UNIT_KB, false,
	"Largest request, before compression; a span that needs a larger one is set aside."},
};

static void
define_booleans(void)
{
	DefineCustomBoolVariable("otel.strict",
							 "Makes misuse of the span functions an error instead of a warning.",
							 NULL, &otel_strict, false, PGC_USERSET, GUC_ALLOW_IN_PARALLEL, NULL,
							 NULL, NULL);
	DefineCustomBoolVariable("otel.sdk_disabled",
							 "Makes spans no-ops; capture and propagation go on.",
							 NULL, &otel_sdk_disabled, false, PGC_USERSET, GUC_ALLOW_IN_PARALLEL,
							 NULL, NULL, NULL);
	environment_apply("otel.sdk_disabled");
}

static void
define_enums(void)
{
	for (int i = 0; i < (int) lengthof(enum_settings); i++)
	{
		const EnumSetting *s = &enum_settings[i];

		/* a server with assertions checks that the two are equal */
		*s->variable = s->boot;
		DefineCustomEnumVariable(s->name, s->description, NULL, s->variable, s->boot, s->options,
								 s->context, GUC_ALLOW_IN_PARALLEL, s->check, NULL, NULL);
		if (s->from_environment)
			environment_apply(s->name);
	}
}

static void
define_strings(void)
{
	for (int i = 0; i < (int) lengthof(string_settings); i++)
	{
		const StringSetting *s = &string_settings[i];

		DefineCustomStringVariable(s->name, s->description, NULL, s->variable, s->boot, s->context,
								   GUC_ALLOW_IN_PARALLEL | (s->show ? GUC_SUPERUSER_ONLY : 0),
								   s->check, s->assign, s->show);
		if (s->from_environment)
			environment_apply(s->name);
	}
}

static void
define_integers(void)
{
	for (int i = 0; i < (int) lengthof(int_settings); i++)
	{
		const IntSetting *s = &int_settings[i];

		DefineCustomIntVariable(s->name, s->description, NULL, s->variable, s->boot,
								s->min, s->max, s->context, GUC_ALLOW_IN_PARALLEL | s->unit,
								NULL, NULL, NULL);
		if (s->from_environment)
			environment_apply(s->name);
	}
}

void
settings_report_environment(void (*report) (const char *message))
{
	environment_report("otel.sdk_disabled", report);
	for (int i = 0; i < (int) lengthof(enum_settings); i++)
	{
		if (enum_settings[i].from_environment)
			environment_report(enum_settings[i].name, report);
	}
	for (int i = 0; i < (int) lengthof(string_settings); i++)
	{
		if (string_settings[i].from_environment)
			environment_report(string_settings[i].name, report);
	}
	for (int i = 0; i < (int) lengthof(int_settings); i++)
	{
		if (int_settings[i].from_environment)
			environment_report(int_settings[i].name, report);
	}
	environment_report_unread(report);
}

void
settings_define(void)
{
	define_booleans();
	define_enums();
	define_strings();
	define_integers();
	setting_warn_unknown_names();
}
