/*
 * transport.c: the way from encoded spans to otel_links_http.so and back.
 *
 * The library is loaded when something is first sent.  Where it, or libcurl, is missing, that is an error
 * like any other: the worker notes it in otel.export_status and tries again after a while.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "exporter/headers.h"
#include "exporter/transport.h"
#include "http/http.h"

/* tick() is called this often, also while nothing happens. */
#define TICK_MS 500

#define USER_AGENT "OTel-OTLP-Exporter-C/" OTEL_LINKS_VERSION " otel_links"

static const HttpInterface *http;	/* NULL: not loaded yet */

static void
load_http(void)
{
	http_interface_function get_interface;
	const HttpInterface *loaded;

	if (http)
		return;
	get_interface = (http_interface_function)
		load_external_function(HTTP_LIBRARY, HTTP_FUNCTION, true, NULL);
	loaded = get_interface();
	if (strcmp(loaded->version, OTEL_LINKS_VERSION) != 0 ||
		loaded->request_size != sizeof(HttpRequest) || loaded->answer_size != sizeof(HttpAnswer))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("library \"%s\" is of version %s, not of %s like otel_links",
						HTTP_LIBRARY, loaded->version, OTEL_LINKS_VERSION),
				 errhint("Install both libraries of one version.")));
	http = loaded;
}

void
transport_cancel(void)
{
	if (http)
		http->cancel(NULL);
}

static void
post(const ExporterConfig *config, const char *body, size_t len, const RequestHeaders *headers,
	 void (*tick) (void), Answer *answer)
{
	HttpRequest request = {0};
	HttpAnswer	raw;

	request.url = config->url;
	request.user_agent = USER_AGENT;
	request.headers = headers->lines;
	request.body = body;
	request.len = len;
	request.gzip = config->gzip;
	request.timeout_ms = config->request_timeout_ms;
	request.certificate = config->certificate;
	request.client_certificate = config->client_certificate;
	request.client_key = config->client_key;
	http->submit(&request);
	while (!http->take(&raw))
	{
		(void) http->wait(TICK_MS, PG_WAIT_EXTENSION);
		CHECK_FOR_INTERRUPTS();
		tick();
	}
	answer_read(&raw, headers, answer);
}

void
transport_post(const ExporterConfig *config, const char *body, size_t len,
			   void (*tick) (void), Answer *answer)
{
	RequestHeaders headers;

	load_http();
	/* Where the worker leaves, it does so better before a request than in the middle of one. */
	tick();
	if (config->url == NULL)
	{
		answer_set_error(answer, OUTCOME_RETRY, "otel.exporter_otlp_endpoint is not an http or https URL");
		return;
	}
	headers_make(&headers, config);
	PG_TRY();
	{
		post(config, body, len, &headers, tick, answer);
	}
	PG_FINALLY();
	{
		transport_cancel();
		headers_free(&headers);
	}
	PG_END_TRY();
}
