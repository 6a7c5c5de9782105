/*
 * config.h: the exporter's settings, as they are in force for one export.
 */
#ifndef OTEL_EXPORTER_CONFIG_H
#define OTEL_EXPORTER_CONFIG_H

#include "postgres.h"

typedef struct ExporterConfig
{
	bool		enabled;		/* otel.traces_exporter is not none */
	bool		json;			/* http/json */
	bool		gzip;
	const char *url;			/* where to POST; NULL when the setting is not a URL */
	const char *url_problem;	/* the message for a URL that cannot be used; always set */
	const char *certificate;	/* file names; empty when not set */
	const char *client_certificate;
	const char *client_key;
	const char *headers_file;
	const char *service_name;
	const char *resource_attributes;
	long		request_timeout_ms; /* 0: none */
	long		batch_timeout_ms;	/* of all requests of a batch; 0: none */
	size_t		max_request_size;	/* of a body before it is compressed */
	int			max_concurrent_requests;
	long		schedule_delay_ms;
	long		idle_timeout_ms;
	int			max_batch_size;
	int			retention_s;
	int64		queue_max_bytes;
} ExporterConfig;

/* Reads the settings.  Strings are allocated in CurrentMemoryContext. */
extern void config_read(ExporterConfig *config);

#endif
