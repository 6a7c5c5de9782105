/*
 * settings.h: every setting of the extension.  The setting otel.foo_bar is the C variable otel_foo_bar
 * (or otel_foo_bar_setting, where a SQL function has the name).
 *
 * Strings that choose among a few words have an enum beside them, which never holds nonsense: a value
 * that is none of the words warns, and the default takes its place.
 */
#ifndef OTEL_LINKS_SETTINGS_H
#define OTEL_LINKS_SETTINGS_H

#include "postgres.h"

typedef enum TracesSampler
{
	SAMPLER_PARENTBASED_ALWAYS_ON,
	SAMPLER_PARENTBASED_ALWAYS_OFF,
	SAMPLER_PARENTBASED_TRACEIDRATIO,
	SAMPLER_ALWAYS_ON,
	SAMPLER_ALWAYS_OFF,
	SAMPLER_TRACEIDRATIO,
	SAMPLER_LINKSBASED_PARENTBASED_ALWAYS_ON
} TracesSampler;

typedef enum LinkOverflow
{
	LINK_OVERFLOW_DROP,
	LINK_OVERFLOW_SPLIT
} LinkOverflow;

/* capture */
extern char *otel_traceparent_setting;
extern char *otel_tracestate_setting;
extern char *otel_pooler_statement_names;
extern bool otel_session_context;
extern bool otel_propagate;		/* does otel.propagators name tracecontext? */

/* spans */
extern bool otel_strict;
extern bool otel_sdk_disabled;
extern TracesSampler otel_sampler;	/* otel.traces_sampler */
extern double otel_sampler_ratio;	/* otel.traces_sampler_arg, 1 when there is none */
extern LinkOverflow otel_link_overflow;
extern int	otel_span_link_count_limit;
extern int	otel_span_event_count_limit;
extern int	otel_event_attribute_count_limit;
extern int	otel_link_attribute_count_limit;

/* the queue */
extern int	otel_queue_max_size;	/* kB */
extern int	otel_bsp_max_export_batch_size;

/* The span's own limit where it is set, else the general one; -1 is none. */
extern int	otel_effective_attribute_count_limit(void);
extern int	otel_effective_attribute_value_length_limit(void);

/* Raised by every change of a setting that current_trace_context() depends on (current_context.h). */
extern uint64 otel_capture_generation;

/*
 * Was the setting changed in the transaction that is running (SET, SET LOCAL, set_config, a function's
 * SET clause), as opposed to earlier in the session, by the connection, or in a configuration file?
 */
extern bool otel_traceparent_set_in_transaction(void);
extern bool otel_tracestate_set_in_transaction(void);

/* The same of standard_conforming_strings: the message may have been parsed with another value. */
extern bool otel_literals_changed_in_transaction(void);

/* Defines them all.  From _PG_init only. */
extern void settings_define(void);

#endif
