/*
 * setting_entry.h: PostgreSQL's entry for a setting, ours or another.  Nothing here raises an
 * error.
 */
#ifndef OTEL_LINKS_SETTING_ENTRY_H
#define OTEL_LINKS_SETTING_ENTRY_H

#include "postgres.h"

struct config_generic;

/*
 * The setting's entry in PostgreSQL's table, or NULL.  It is allocated once and never moves.
 * Before PostgreSQL 16 this is a linear search, so callers that need it often keep the result.
 */
extern struct config_generic *setting_find(const char *name);

/*
 * Was the setting changed in the running transaction (SET, SET LOCAL, set_config, a function's SET
 * clause), rather than earlier in the session, by the connection, or in a configuration file?
 */
extern bool otel_traceparent_set_in_transaction(void);
extern bool otel_tracestate_set_in_transaction(void);

/* The same for standard_conforming_strings: the message may have been parsed with another value. */
extern bool otel_literals_changed_in_transaction(void);

/*
 * Warns of names such as otel.exporter_oltp_endpoint.  Called by _PG_init, after all definitions.
 */
extern void setting_warn_unknown_names(void);

#endif
