/*
 * config.c: the exporter's settings.
 *
 * They are defined in otel_links.so (src/settings.c), to which this library is not linked; they are read
 * by name.  Where the traces form of a setting has a value, it wins over the general one
 * (opentelemetry.io/docs/specs/otel/protocol/exporter).
 */
#include "postgres.h"

#include <curl/curl.h>

#include "utils/guc.h"

#include "config.h"

/* A batch's rows are kept in an array; what fits into BATCH_MAX_BYTES is fewer. */
#define MAX_BATCH_SIZE 65536

static const char *
string_setting(const char *name)
{
	const char *value = GetConfigOption(name, true, false);

	return value ? pstrdup(value) : "";
}

static int
int_setting(const char *name, int fallback)
{
	const char *value = GetConfigOption(name, true, false);

	return value ? atoi(value) : fallback;
}

/* otel.exporter_otlp_traces_X where it is set, else otel.exporter_otlp_X */
static const char *
signal_setting(const char *name)
{
	const char *value = string_setting(psprintf("otel.exporter_otlp_traces_%s", name));

	return *value ? value : string_setting(psprintf("otel.exporter_otlp_%s", name));
}

/* The base endpoint with v1/traces appended to its path; NULL when it is no URL. */
static const char *
traces_url(const char *base)
{
	CURLU	   *url = curl_url();
	char	   *path = NULL;
	char	   *full = NULL;
	const char *result = NULL;

	if (url && curl_url_set(url, CURLUPART_URL, base, 0) == CURLUE_OK &&
		curl_url_get(url, CURLUPART_PATH, &path, 0) == CURLUE_OK)
	{
		size_t		len = strlen(path);

		while (len > 0 && path[len - 1] == '/')
			len--;
		if (curl_url_set(url, CURLUPART_PATH, psprintf("%.*s/v1/traces", (int) len, path),
						 0) == CURLUE_OK &&
			curl_url_get(url, CURLUPART_URL, &full, 0) == CURLUE_OK)
			result = pstrdup(full);
	}
	curl_free(full);
	curl_free(path);
	curl_url_cleanup(url);
	return result;
}

static void
read_endpoint(ExporterConfig *config)
{
	const char *endpoint = string_setting("otel.exporter_otlp_traces_endpoint");

	if (*endpoint)
	{
		config->url = endpoint;
		return;
	}
	endpoint = string_setting("otel.exporter_otlp_endpoint");
	config->url = traces_url(*endpoint ? endpoint : "http://localhost:4318");
}

/* One request is one export: the shorter of the exporter's and the batch processor's time-out counts. */
static long
request_timeout(void)
{
	int			timeout = int_setting("otel.exporter_otlp_traces_timeout", -1);
	int			export = int_setting("otel.bsp_export_timeout", 30000);

	if (timeout < 0)
		timeout = int_setting("otel.exporter_otlp_timeout", 10000);
	if (timeout == 0 || export == 0)
		return Max(timeout, export);
	return Min(timeout, export);
}

void
config_read(ExporterConfig *config)
{
	config->enabled = pg_strcasecmp(string_setting("otel.traces_exporter"), "none") != 0;
	config->json = pg_strcasecmp(signal_setting("protocol"), "http/json") == 0;
	config->gzip = pg_strcasecmp(signal_setting("compression"), "gzip") == 0;
	config->certificate = signal_setting("certificate");
	config->client_certificate = signal_setting("client_certificate");
	config->client_key = signal_setting("client_key");
	config->headers_file = string_setting("otel.exporter_otlp_headers_file");
	config->service_name = string_setting("otel.service_name");
	config->resource_attributes = string_setting("otel.resource_attributes");
	config->request_timeout_ms = request_timeout();
	config->schedule_delay_ms = int_setting("otel.bsp_schedule_delay", 5000);
	config->idle_timeout_ms = int_setting("otel.exporter_idle_timeout", 30000);
	config->max_batch_size = Min(Max(int_setting("otel.bsp_max_export_batch_size", 512), 1),
								 MAX_BATCH_SIZE);
	config->retention_s = int_setting("otel.retention", 0);
	config->queue_max_bytes = (int64) int_setting("otel.queue_max_size", 1024 * 1024) * 1024;
	read_endpoint(config);
}
