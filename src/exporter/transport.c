/*
 * transport.c: loading otel_links_http.so and talking to it.
 *
 * The library is loaded when something is first sent.  If it or libcurl is missing, that is an
 * error like any other: the worker notes it in otel.export_status and tries again after a while.
 */
#include "postgres.h"

#include "fmgr.h"

#include "compat.h"
#include "exporter/transport.h"
#include "exporter/wait_events.h"

/* By the rule for a distribution of an exporter: its own name first, then the exporter's. */
#define USER_AGENT "otel_links/" OTEL_LINKS_VERSION " OTel-OTLP-Exporter-C/" OTEL_LINKS_VERSION

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
				 errmsg("library \"%s\" does not match library \"%s\" of version %s",
						HTTP_LIBRARY, "otel_links", OTEL_LINKS_VERSION),
				 errhint("Install both libraries of one version.")));
	http = loaded;
}

void
transport_submit(const ExporterConfig *config, const TransportRequest *request)
{
	HttpRequest raw = {0};

	load_http();
	raw.url = config->url;
	raw.user_agent = USER_AGENT;
	raw.headers = request->headers->lines;
	raw.body = request->body;
	raw.len = request->len;
	raw.gzip = config->gzip;
	raw.fresh = request->fresh;
	raw.timeout_ms = request->timeout_ms;
	raw.certificate = config->certificate;
	raw.client_certificate = config->client_certificate;
	raw.client_key = config->client_key;
	raw.owner = request->owner;
	http->submit(&raw);
}

bool
transport_wait(long timeout_ms)
{
	return http->wait(timeout_ms, wait_event_collector());
}

bool
transport_take(HttpAnswer *answer)
{
	return http && http->take(answer);
}

int
transport_pending(void)
{
	return http ? http->pending() : 0;
}

void
transport_cancel(void)
{
	if (http)
		http->cancel(NULL);
}
