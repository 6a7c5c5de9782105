/*
 * settings.h: the settings of spans, the queue and the exporter; capture's are in
 * capture/capture_settings.h.  The setting otel.foo_bar is the C variable otel_foo_bar, except
 * where a comment says otherwise.
 *
 * Settings with a few possible values are enum settings.  Their variables are ints, as PostgreSQL
 * requires, and hold a value of the enum that is named beside them.
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

typedef enum TracesExporter
{
	TRACES_EXPORTER_OTLP,
	TRACES_EXPORTER_NONE
} TracesExporter;

/* In the settings for traces, UNSET means that the general setting counts. */
typedef enum OtlpProtocol
{
	OTLP_PROTOCOL_UNSET,
	OTLP_PROTOCOL_HTTP_PROTOBUF,
	OTLP_PROTOCOL_HTTP_JSON,
	OTLP_PROTOCOL_GRPC			/* never in a variable: it becomes HTTP_PROTOBUF, with a warning */
} OtlpProtocol;

typedef enum OtlpCompression
{
	OTLP_COMPRESSION_UNSET,
	OTLP_COMPRESSION_NONE,
	OTLP_COMPRESSION_GZIP
} OtlpCompression;

#define OTEL_DEFAULT_ENDPOINT "http://localhost:4318"

/* capture */
extern bool otel_propagate;		/* does otel.propagators name tracecontext? */

/* spans */
extern bool otel_strict;
extern bool otel_sdk_disabled;
extern int	otel_traces_sampler;	/* TracesSampler */
extern double otel_sampler_ratio;	/* otel.traces_sampler_arg, 1 when there is none */
extern int	otel_link_overflow; /* LinkOverflow */
extern int	otel_span_link_count_limit;
extern int	otel_span_event_count_limit;
extern int	otel_event_attribute_count_limit;
extern int	otel_link_attribute_count_limit;

/* the queue */
extern int	otel_queue_max_size;	/* kB */
extern int	otel_bsp_max_export_batch_size;
extern int	otel_traces_exporter;	/* TracesExporter */

/* the exporter */
extern char *otel_exporter_otlp_endpoint;
extern char *otel_exporter_otlp_traces_endpoint;
extern int	otel_exporter_otlp_protocol;	/* OtlpProtocol */
extern int	otel_exporter_otlp_traces_protocol;
extern int	otel_exporter_otlp_compression; /* OtlpCompression */
extern int	otel_exporter_otlp_traces_compression;
extern char *otel_exporter_otlp_headers_file;
extern char *otel_exporter_otlp_certificate;
extern char *otel_exporter_otlp_traces_certificate;
extern char *otel_exporter_otlp_client_certificate;
extern char *otel_exporter_otlp_traces_client_certificate;
extern char *otel_exporter_otlp_client_key;
extern char *otel_exporter_otlp_traces_client_key;
extern int	otel_exporter_otlp_timeout; /* ms, like the next four */
extern int	otel_exporter_otlp_traces_timeout;	/* -1: as otel_exporter_otlp_timeout */
extern int	otel_bsp_schedule_delay;
extern int	otel_bsp_export_timeout;
extern int	otel_exporter_idle_timeout;
extern int	otel_exporter_max_concurrent_requests;
extern int	otel_exporter_max_request_size; /* kB */
extern int	otel_retention;		/* s */
extern char *otel_service_name;
extern char *otel_resource_attributes;

/* The limit for spans if it is set, else the general one; -1 means none. */
extern int	otel_effective_attribute_count_limit(void);
extern int	otel_effective_attribute_value_length_limit(void);

/*
 * Increased by every change of a setting of ours, or of the span stack, that the current context
 * depends on (capture/context_cache.h).
 */
extern uint64 otel_capture_generation;

/* Defines all settings and takes their defaults from the environment.  Called by _PG_init. */
extern void settings_define(void);

/* Reports each variable of the environment whose value is ignored. */
extern void settings_report_environment(void (*report) (const char *message));

#endif
