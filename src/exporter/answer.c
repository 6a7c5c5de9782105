/*
 * answer.c: what the answer to a request means for the spans in it
 * (opentelemetry.io/docs/specs/otlp, "OTLP/HTTP Response").
 */
#include "postgres.h"

#include "exporter/answer.h"
#include "exporter/response.h"

/* The longest pause that a server may ask for. */
#define MAX_RETRY_AFTER_S 3600

static Outcome
outcome_of_status(long status)
{
	if (status >= 200 && status <= 299)
		return OUTCOME_ACCEPTED;
	switch (status)
	{
		case 400:
			return OUTCOME_BAD_REQUEST;
		case 413:
			return OUTCOME_TOO_LARGE;
		case 429:
		case 502:
		case 503:
		case 504:
			return OUTCOME_RETRY;
		default:
			return OUTCOME_REFUSED;
	}
}

/* Is the body JSON?  Without a Content-Type, its first byte decides. */
static bool
body_is_json(const HttpAnswer *raw)
{
	static const char json[] = "application/json";

	if (*raw->content_type)
		return pg_strncasecmp(raw->content_type, json, strlen(json)) == 0;
	return raw->len > 0 && raw->body[0] == '{';
}

/*
 * Is the body a page for people?  A login portal or a proxy answers any request with one, and
 * status 200.
 */
static bool
body_is_page(const HttpAnswer *raw)
{
	return pg_strncasecmp(raw->content_type, "text/html", strlen("text/html")) == 0;
}

/*
 * Does a 400 say that the request's body is too large?  The Collector's HTTP receiver answers so:
 * "http: request body too large" is a message of Go's library.
 */
static bool
says_too_large(const HttpAnswer *raw, const char *message)
{
	static const char go[] = "request body too large";

	if (strstr(message, go))
		return true;
	return raw->len < RESPONSE_MESSAGE_SIZE && raw->body &&
		strstr(pnstrdup(raw->body, raw->len), go) != NULL;
}

static void
read_error(const HttpAnswer *raw, Answer *answer)
{
	Response	response;

	response_read_error(raw->body, raw->len, body_is_json(raw), &response);
	snprintf(answer->message, sizeof(answer->message), "HTTP status %ld%s%s", raw->status,
			 response.message[0] ? ": " : "", response.message);
	if (answer->outcome == OUTCOME_BAD_REQUEST && says_too_large(raw, response.message))
		answer->outcome = OUTCOME_TOO_LARGE;
}

static void
read_success(const HttpAnswer *raw, Answer *answer)
{
	Response	response;

	if (!response_read_success(raw->body, raw->len, body_is_json(raw), &response))
		snprintf(answer->message, sizeof(answer->message),
				 "HTTP status %ld with a body that is no ExportTraceServiceResponse", raw->status);
	else if (response.rejected_spans > 0 || response.message[0])
	{
		answer->rejected = Max(response.rejected_spans, 0);
		snprintf(answer->message, sizeof(answer->message),
				 "partial success, " INT64_FORMAT " spans rejected: %s",
				 answer->rejected, response.message);
	}
}

static void
read_status(const HttpAnswer *raw, Answer *answer)
{
	if (raw->retry_after_s > 0)
		answer->retry_after_ms = Min(raw->retry_after_s, MAX_RETRY_AFTER_S) * 1000;
	answer->outcome = outcome_of_status(raw->status);
	if (answer->outcome == OUTCOME_ACCEPTED && body_is_page(raw))
	{
		answer->outcome = OUTCOME_REFUSED;
		snprintf(answer->message, sizeof(answer->message),
				 "HTTP status %ld with a web page: not an OTLP endpoint", raw->status);
	}
	else if (answer->outcome == OUTCOME_ACCEPTED)
		read_success(raw, answer);
	else
		read_error(raw, answer);
}

void
answer_set_error(Answer *answer, Outcome outcome, const char *message)
{
	memset(answer, 0, sizeof(*answer));
	answer->outcome = outcome;
	answer->retry_after_ms = -1;
	strlcpy(answer->message, message, sizeof(answer->message));
}

void
answer_read(const HttpAnswer *raw, const RequestHeaders *headers, const ExporterConfig *config,
			Answer *answer)
{
	switch (raw->end)
	{
		case HTTP_ANSWERED:
			answer_set_error(answer, OUTCOME_ACCEPTED, "");
			read_status(raw, answer);
			break;
		case HTTP_BAD_URL:
			answer_set_error(answer, OUTCOME_RETRY,
							 psprintf("%s: %s", config->url_problem, raw->error));
			break;
		case HTTP_BAD_CERTIFICATE:
			answer_set_error(answer, OUTCOME_RETRY,
							 psprintf("otel.exporter_otlp_certificate cannot be used: %s",
									  raw->error));
			break;
		case HTTP_BAD_CLIENT_CERTIFICATE:
			answer_set_error(answer, OUTCOME_RETRY,
							 psprintf("otel.exporter_otlp_client_certificate with "
									  "otel.exporter_otlp_client_key cannot be used: %s",
									  raw->error));
			break;
		case HTTP_RESPONSE_TOO_LARGE:
			answer_set_error(answer, OUTCOME_REFUSED,
							 psprintf("the response is larger than %d MiB",
									  HTTP_MAX_RESPONSE_SIZE / (1024 * 1024)));
			break;
		case HTTP_CUT_SHORT:
		case HTTP_FAILED:
			answer_set_error(answer, OUTCOME_RETRY, raw->error);
			answer->cut_short = raw->end == HTTP_CUT_SHORT;
			break;
	}
	headers_redact(headers, answer->message);
}
