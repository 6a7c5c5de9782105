/*
 * http.h: one POST at a time, by libcurl, on the worker's latch.
 */
#ifndef OTEL_EXPORTER_HTTP_H
#define OTEL_EXPORTER_HTTP_H

#include "postgres.h"
#include "config.h"

/* What a batch's sender must do next. */
typedef enum HttpOutcome
{
	HTTP_ACCEPTED,				/* 2xx */
	HTTP_RETRY,					/* 429, 502, 503, 504, and whatever did not get an answer */
	HTTP_TOO_LARGE,				/* 413 */
	HTTP_BAD_REQUEST,			/* 400 */
	HTTP_REFUSED				/* any other answer */
} HttpOutcome;

typedef struct HttpResult
{
	HttpOutcome outcome;
	long		retry_after_ms; /* -1: the server named no time */
	bool		cut_short;		/* the body, or some of it, went out and no answer came back */
	int64		rejected;		/* partial success: spans the server says it did not take */
	char		message[1024];	/* for people; empty when all went well */
} HttpResult;

/* Once, before anything else of libcurl. */
extern void http_init(void);

/*
 * POSTs a request body.  No transaction may be open.  Runs CHECK_FOR_INTERRUPTS(), and tick() at least
 * twice a second.  Never raises for what the network or the server does.
 */
extern void http_post(const ExporterConfig *config, const char *body, size_t len,
					  void (*tick) (void), HttpResult *result);

/* For URLs that otel.exporter_otlp_* name: does libcurl take it, and is it http or https? */
extern bool http_url_is_valid(const char *url);

#endif
