/*
 * setting_entry.c: PostgreSQL's entry for a setting, ours or another: finding it, whether the
 * running transaction changed it, and names that look like ours but do not exist.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"

#include "setting_entry.h"

/* The prefixes of our names.  Nobody else uses them. */
static const char *const families[] = {
	"otel.attribute_", "otel.bsp_", "otel.context_", "otel.event_", "otel.exporter_", "otel.link_",
	"otel.pooler_", "otel.queue_", "otel.span_", "otel.traces_"
};

/* All settings, including placeholders that nobody has defined. */
static struct config_generic **
all_settings(int *count)
{
#if PG_VERSION_NUM >= 160000
	return get_guc_variables(count);
#else
	*count = GetNumConfigOptions();
	return get_guc_variables();
#endif
}

struct config_generic *
setting_find(const char *name)
{
#if PG_VERSION_NUM >= 160000
	return find_option(name, false, true, DEBUG5);
#else
	int			count;
	struct config_generic **all = all_settings(&count);

	for (int i = 0; i < count; i++)
	{
		if (strcmp(all[i]->name, name) == 0)
			return all[i];
	}
	return NULL;
#endif
}

/*
 * A setting has a stack of former values as long as the transaction that changed it runs.  The
 * stack is kept when this library, loaded later in the transaction, defines the setting.
 */
static bool
set_in_transaction(struct config_generic **setting, const char *name)
{
	if (*setting == NULL)
		*setting = setting_find(name);
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

static bool
is_in_our_families(const char *name)
{
	for (int i = 0; i < (int) lengthof(families); i++)
	{
		if (pg_strncasecmp(name, families[i], strlen(families[i])) == 0)
			return true;
	}
	return false;
}

/*
 * Background workers do not warn: parallel ones start with every query, and the exporter with every
 * job.
 */
void
setting_warn_unknown_names(void)
{
	struct config_generic **all;
	int			count;

	if (MyBackendType == B_BG_WORKER)
		return;
	all = all_settings(&count);
	for (int i = 0; i < count; i++)
	{
		if ((all[i]->flags & GUC_CUSTOM_PLACEHOLDER) && is_in_our_families(all[i]->name))
			ereport(WARNING,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("otel_links has no parameter \"%s\"", all[i]->name),
					 errhint("Is it misspelled?")));
	}
}
