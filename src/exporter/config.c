/*
 * config.c: the exporter's settings.
 *
 * Where the traces form of a setting has a value, it wins over the general one
 * (opentelemetry.io/docs/specs/otel/protocol/exporter).
 */
#include "postgres.h"

#include "exporter/config.h"
#include "settings.h"

/* Bounds the array of a batch's rows. */
#define MAX_BATCH_SIZE 65536

#define TRACES_PATH "v1/traces"

static const char *
first_set(const char *traces, const char *general)
{
	return pstrdup(*traces ? traces : general);
}

/* Is it a URL that begins with http:// or https:// and names a host? */
static bool
is_http_url(const char *url)
{
	if (pg_strncasecmp(url, "http://", strlen("http://")) == 0)
		url += strlen("http://");
	else if (pg_strncasecmp(url, "https://", strlen("https://")) == 0)
		url += strlen("https://");
	else
		return false;
	return *url != '\0' && strchr("/?#", *url) == NULL;
}

/* The base endpoint with v1/traces appended to its path, whatever query follows. */
static const char *
append_traces_path(const char *base)
{
	size_t		path_end = strcspn(base, "?#");
	size_t		len = path_end;

	while (len > 0 && base[len - 1] == '/')
		len--;
	return psprintf("%.*s/%s%s", (int) len, base, TRACES_PATH, base + path_end);
}

static void
read_endpoint(ExporterConfig *config)
{
	const char *url = otel_exporter_otlp_traces_endpoint;
	const char *setting = "otel.exporter_otlp_traces_endpoint";

	if (*url && is_http_url(url))
		config->url = pstrdup(url);
	else if (!*url)
	{
		url = *otel_exporter_otlp_endpoint ? otel_exporter_otlp_endpoint : OTEL_DEFAULT_ENDPOINT;
		setting = "otel.exporter_otlp_endpoint";
		config->url = is_http_url(url) ? append_traces_path(url) : NULL;
	}
	config->url_problem = psprintf("%s is not an http or https URL", setting);
}

void
config_read(ExporterConfig *config)
{
	OtlpProtocol protocol = otel_exporter_otlp_traces_protocol;
	OtlpCompression compression = otel_exporter_otlp_traces_compression;

	if (protocol == OTLP_PROTOCOL_UNSET)
		protocol = otel_exporter_otlp_protocol;
	if (compression == OTLP_COMPRESSION_UNSET)
		compression = otel_exporter_otlp_compression;
	config->enabled = otel_traces_exporter != TRACES_EXPORTER_NONE;
	config->json = protocol == OTLP_PROTOCOL_HTTP_JSON;
	config->gzip = compression == OTLP_COMPRESSION_GZIP;
	config->url = NULL;
	read_endpoint(config);
	config->certificate = first_set(otel_exporter_otlp_traces_certificate,
									otel_exporter_otlp_certificate);
	config->client_certificate = first_set(otel_exporter_otlp_traces_client_certificate,
										   otel_exporter_otlp_client_certificate);
	config->client_key = first_set(otel_exporter_otlp_traces_client_key,
								   otel_exporter_otlp_client_key);
	config->headers_file = pstrdup(otel_exporter_otlp_headers_file);
	config->service_name = pstrdup(otel_service_name);
	config->resource_attributes = pstrdup(otel_resource_attributes);
	config->request_timeout_ms = otel_exporter_otlp_traces_timeout >= 0 ?
		otel_exporter_otlp_traces_timeout : otel_exporter_otlp_timeout;
	config->batch_timeout_ms = otel_bsp_export_timeout;
	config->max_request_size = (size_t) otel_exporter_max_request_size * 1024;
	config->max_concurrent_requests = otel_exporter_max_concurrent_requests;
	config->schedule_delay_ms = otel_bsp_schedule_delay;
	config->idle_timeout_ms = otel_exporter_idle_timeout;
	config->max_batch_size = Min(otel_bsp_max_export_batch_size, MAX_BATCH_SIZE);
	config->retention_s = otel_retention;
	config->queue_max_bytes = (int64) otel_queue_max_size * 1024;
}
