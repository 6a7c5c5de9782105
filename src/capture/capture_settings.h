/*
 * capture_settings.h: the settings that say where contexts come from.
 */
#ifndef OTEL_LINKS_CAPTURE_SETTINGS_H
#define OTEL_LINKS_CAPTURE_SETTINGS_H

#include "postgres.h"

/* The sources of a context, in the order in which they are asked. */
typedef enum ContextSource
{
	CONTEXT_FROM_SPAN,			/* cannot be turned off */
	CONTEXT_FROM_TRANSACTION,
	CONTEXT_FROM_COMMENT,
	CONTEXT_FROM_APPLICATION_NAME,
	CONTEXT_FROM_SESSION,
	CONTEXT_FROM_POSTGREST,
	CONTEXT_FROM_PG_TRACING
} ContextSource;

#define CONTEXT_SOURCE_COUNT (CONTEXT_FROM_PG_TRACING + 1)

extern char *otel_traceparent_setting;
extern char *otel_tracestate_setting;
extern int	otel_context_sources_used;	/* bit 1 << source for each in otel.context_sources */

static inline bool
context_source_is_used(ContextSource source)
{
	return (otel_context_sources_used & (1 << source)) != 0;
}

/* Their names, as in otel.context_sources. */
extern const char *const context_source_names[CONTEXT_SOURCE_COUNT];

/*
 * The pattern of otel.pooler_statement_names that matches the name of a prepared statement, or
 * NULL.
 */
extern const char *pooler_statement_pattern(const char *name);

/* Called by _PG_init. */
extern void capture_settings_define(void);

#endif
