/*
 * environment.c: the OTEL_* variables of the server's environment, and what they mean.
 *
 * The OpenTelemetry variable OTEL_FOO_BAR is the default of the setting otel.foo_bar (GucSource
 * PGC_S_ENV_VAR, so the configuration file takes precedence).  An empty variable counts as unset.
 * An invalid value is ignored, and never keeps a server or a session from starting.  Variables are
 * meant for all SDKs on the machine, so clients get no message about invalid ones; the exporter
 * reports them.
 *
 * settings.c decides which settings have a variable.  OTEL_EXPORTER_OTLP_HEADERS is not a setting,
 * because settings can be read by others: exporter/headers.c reads it.
 *
 * The library may be loaded in the middle of a query with parallel workers.  PostgreSQL then does
 * not allow a setting without GUC_ALLOW_IN_PARALLEL to be set, not even to a value that was given
 * before the library was loaded.
 */
#include "postgres.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/memutils.h"

#include "compat.h"
#include "environment.h"
#include "setting_entry.h"

/* Finds a word, in any case, among the options of an enum setting, and its value. */
static bool
find_option_value(const struct config_enum_entry *options, const char *word, int *value)
{
	for (; options->name; options++)
	{
		if (pg_strcasecmp(options->name, word) == 0)
		{
			*value = options->val;
			return true;
		}
	}
	return false;
}

/*
 * Makes a value the one that counts again when the setting's line is removed from the configuration
 * file.  PostgreSQL then rereads the variables of its own settings, but it does not know of ours.
 */
static void
set_boot_value(struct config_generic *setting, const char *value)
{
	int			number;
	void	   *extra = NULL;

	switch (setting->vartype)
	{
		case PGC_BOOL:
			guc_as(setting, bool)->boot_val = pg_strcasecmp(value, "true") == 0;
			break;
		case PGC_INT:
			if (parse_int(value, &number, setting->flags, NULL))
				guc_as(setting, int)->boot_val = number;
			break;
		case PGC_ENUM:
			if (find_option_value(guc_as(setting, enum)->options, value, &number) &&
				(guc_as(setting, enum)->check_hook == NULL ||
				 guc_as(setting, enum)->check_hook(&number, &extra, PGC_S_ENV_VAR)))
				guc_as(setting, enum)->boot_val = number;
			break;
		case PGC_STRING:
			guc_as(setting, string)->boot_val = MemoryContextStrdup(TopMemoryContext, value);
			break;
		default:
			break;
	}
}

/* The OpenTelemetry variable of a setting; out has room for NAMEDATALEN * 2 bytes. */
static void
variable_name(const char *name, char *out)
{
	int			i;

	for (i = 0; name[i] && i < NAMEDATALEN * 2 - 1; i++)
		out[i] = name[i] == '.' ? '_' : pg_ascii_toupper((unsigned char) name[i]);
	out[i] = '\0';
}

/* The value of a setting's variable; NULL when it is unset or empty. */
static const char *
environment_value(const char *name)
{
	char		variable[NAMEDATALEN * 2];
	const char *value;

	variable_name(name, variable);
	value = getenv(variable);
	return value && *value ? value : NULL;
}

/* Does the setting's check hook accept the string without changing it? */
static bool
string_is_valid(struct config_generic *setting, const char *value)
{
	char	   *copy;
	void	   *extra = NULL;
	bool		valid;

	if (guc_as(setting, string)->check_hook == NULL)
		return true;
	copy = guc_strdup(LOG, value);
	if (copy == NULL)
		return false;
	valid = guc_as(setting, string)->check_hook(&copy, &extra, PGC_S_ENV_VAR) &&
		strcmp(copy, value) == 0;
	guc_free(copy);
	guc_free(extra);
	return valid;
}

/*
 * May the setting have this value?  Booleans follow OpenTelemetry, not PostgreSQL: only "true"
 * and "false" in any case.
 */
static bool
value_is_valid(struct config_generic *setting, const char *value)
{
	int			number;

	switch (setting->vartype)
	{
		case PGC_BOOL:
			return pg_strcasecmp(value, "true") == 0 || pg_strcasecmp(value, "false") == 0;
		case PGC_INT:
			return parse_int(value, &number, setting->flags, NULL) &&
				number >= guc_as(setting, int)->min && number <= guc_as(setting, int)->max;
		case PGC_ENUM:
			return find_option_value(guc_as(setting, enum)->options, value, &number);
		case PGC_STRING:
			return string_is_valid(setting, value);
		default:
			return true;
	}
}

/* The message about a variable whose value is ignored. */
static char *
environment_complaint(const char *name, const char *value)
{
	char		variable[NAMEDATALEN * 2];

	variable_name(name, variable);
	return psprintf("ignoring invalid value of environment variable %s: \"%.*s\"", variable,
					pg_mbcliplen(value, strlen(value), 64), value);
}

void
environment_apply(const char *name)
{
	const char *value = environment_value(name);
	struct config_generic *setting;

	if (value == NULL)
		return;
	setting = setting_find(name);
	if (!value_is_valid(setting, value))
		return;
	set_boot_value(setting, value);
	if (GUC_ALLOW_IN_PARALLEL != 0 || !IsInParallelMode())
		(void) set_config_option(name, value, PGC_POSTMASTER, PGC_S_ENV_VAR,
								 GUC_ACTION_SET, true, WARNING, false);
}

void
environment_report(const char *name, void (*report) (const char *message))
{
	const char *value = environment_value(name);

	if (value == NULL)
		return;
	if (!value_is_valid(setting_find(name), value))
		report(environment_complaint(name, value));
	else if (strstr(name, "_protocol") && pg_strcasecmp(value, "grpc") == 0)
		report(psprintf("%s: \"http/protobuf\" is used instead",
						environment_complaint(name, value)));
}

void
environment_report_unread(void (*report) (const char *message))
{
	const char *file = getenv("OTEL_CONFIG_FILE");

	if (file && *file)
		report("ignoring environment variable OTEL_CONFIG_FILE: "
			   "configuration files of OpenTelemetry are not read");
}
