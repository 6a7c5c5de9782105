/*
 * http.c: one POST at a time, by libcurl.
 *
 * libcurl's multi interface tells which sockets it waits for; they join the worker's latch in a
 * WaitEventSet, so that a signal, a reload or somebody who wakes the worker is seen at once, also while
 * a server hangs.  One easy handle is used for all requests: its connections are kept alive.
 *
 * libcurl may resolve names in a thread of its own.  Signals are blocked while it runs, so that the
 * thread inherits that and no handler of PostgreSQL ever runs in it.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <zlib.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "http.h"
#include "request_headers.h"
#include "response.h"

/* A response larger than this is not read: the largest that means anything is a few hundred bytes. */
#define MAX_RESPONSE_SIZE (4 * 1024 * 1024)

/* libcurl opens two sockets while it tries IPv6 and IPv4, and has two for the resolver. */
#define MAX_SOCKETS 16

/* tick() is called this often, also while nothing happens. */
#define TICK_MS 500

/* A folder of the server, which is where we are, that there always is, and no certificates in it. */
#define EMPTY_FOLDER "pg_snapshots"

/* Unless CURLE_OK or CURLM_OK, the code is the result of the function that says so. */
#define RETURN_UNLESS_OK(call) \
	do { \
		CURLcode	code_ = (call); \
		if (code_ != CURLE_OK) \
			return code_; \
	} while (0)

/* The same for an option that not every TLS library behind libcurl knows. */
#define RETURN_UNLESS_OK_OR_ABSENT(call) \
	do { \
		CURLcode	code_ = (call); \
		if (code_ != CURLE_OK && code_ != CURLE_NOT_BUILT_IN && code_ != CURLE_UNKNOWN_OPTION) \
			return code_; \
	} while (0)

/* A failure here is a mistake of ours or want of memory, never the network. */
#define CURLM_CHECK(call) \
	do { \
		CURLMcode	code_ = (call); \
		if (code_ != CURLM_OK) \
			ereport(ERROR, \
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION), \
					 errmsg("libcurl: %s", curl_multi_strerror(code_)))); \
	} while (0)

typedef struct WatchedSocket
{
	curl_socket_t fd;
	int			what;			/* CURL_POLL_* */
} WatchedSocket;

typedef struct ResponseBody
{
	char	   *data;
	size_t		len;
	bool		too_large;
} ResponseBody;

static CURLM *multi;
static CURL *easy;
static WatchedSocket sockets[MAX_SOCKETS];
static int	nsockets;
static TimestampTz timer_at;	/* when libcurl wants to be called; 0: never */
static char error_buffer[CURL_ERROR_SIZE];

static sigset_t
block_signals(void)
{
	sigset_t	all;
	sigset_t	before;

	sigfillset(&all);
	(void) pthread_sigmask(SIG_SETMASK, &all, &before);
	return before;
}

static void
restore_signals(sigset_t before)
{
	(void) pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- what libcurl calls; nothing here may raise ---- */

static int
socket_callback(CURL *handle, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	for (int i = 0; i < nsockets; i++)
	{
		if (sockets[i].fd != fd)
			continue;
		if (what == CURL_POLL_REMOVE)
			sockets[i] = sockets[--nsockets];
		else
			sockets[i].what = what;
		return 0;
	}
	if (what == CURL_POLL_REMOVE)
		return 0;
	if (nsockets == MAX_SOCKETS)
		return -1;
	sockets[nsockets].fd = fd;
	sockets[nsockets++].what = what;
	return 0;
}

static int
timer_callback(CURLM *handle, long timeout_ms, void *arg)
{
	timer_at = timeout_ms < 0 ? 0 : TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);
	return 0;
}

static size_t
write_callback(char *data, size_t size, size_t count, void *arg)
{
	ResponseBody *body = arg;
	size_t		len = size * count;
	char	   *grown;

	if (len > MAX_RESPONSE_SIZE - body->len)
	{
		body->too_large = true;
		return 0;				/* ends the transfer */
	}
	grown = realloc(body->data, body->len + len + 1);
	if (grown == NULL)
		return 0;
	body->data = grown;
	memcpy(body->data + body->len, data, len);
	body->len += len;
	return len;
}

/* ---- setting up ---- */

void
http_init(void)
{
	sigset_t	before = block_signals();
	CURLcode	code = curl_global_init(CURL_GLOBAL_DEFAULT);

	multi = code == CURLE_OK ? curl_multi_init() : NULL;
	easy = multi ? curl_easy_init() : NULL;
	restore_signals(before);
	if (easy == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("could not initialize libcurl")));
	CURLM_CHECK(curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, socket_callback));
	CURLM_CHECK(curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, timer_callback));
}

static CURLcode
set_protocols(void)
{
#if LIBCURL_VERSION_NUM >= 0x075500
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https"));
#else
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	return curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
}

static CURLcode
set_tls(const ExporterConfig *config)
{
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L));
	if (*config->certificate)
	{
		/* In the place of all the system's certificates.  NULL would bring back their folder in libcurl 8.22. */
		RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_CAINFO, config->certificate));
		RETURN_UNLESS_OK_OR_ABSENT(curl_easy_setopt(easy, CURLOPT_CAPATH, EMPTY_FOLDER));
	}
#if LIBCURL_VERSION_NUM >= 0x075700
	/* Otherwise a file that is replaced counts after a day. */
	RETURN_UNLESS_OK_OR_ABSENT(curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L));
#endif
	if (*config->client_certificate)
		RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_SSLCERT, config->client_certificate));
	if (*config->client_key)
		RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_SSLKEY, config->client_key));
	return CURLE_OK;
}

static CURLcode
set_request(const ExporterConfig *config, const char *body, size_t len,
			struct curl_slist *headers, ResponseBody *response)
{
	curl_easy_reset(easy);
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error_buffer));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L));
#if LIBCURL_VERSION_NUM >= 0x075700
	/* After a time-out, a thread that still waits for a name server is left behind, not waited for. */
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L));
#endif
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_URL, config->url));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_USERAGENT,
									  "OTel-OTLP-Exporter-C/" OTEL_LINKS_VERSION " otel_links"));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_POST, 1L));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) len));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, config->request_timeout_ms));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, config->request_timeout_ms));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, write_callback));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_WRITEDATA, response));
	RETURN_UNLESS_OK(set_protocols());
	return set_tls(config);
}

/* ---- running ---- */

static uint32
wanted_events(int what)
{
	return (what & CURL_POLL_IN ? WL_SOCKET_READABLE : 0) |
		(what & CURL_POLL_OUT ? WL_SOCKET_WRITEABLE : 0);
}

/* Waits for a socket, the latch, or the time; returns how many events there are. */
static int
wait_for_events(WaitEvent *events)
{
	WaitEventSet *set = CreateSessionWaitEventSet(MAX_SOCKETS + 2);
	TimestampTz now = GetCurrentTimestamp();
	long		timeout_ms = TICK_MS;
	int			n;

	if (timer_at != 0)
		timeout_ms = Min(timeout_ms, TimestampDifferenceMilliseconds(now, timer_at));
	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	for (int i = 0; i < nsockets; i++)
	{
		if (wanted_events(sockets[i].what) != 0)
			AddWaitEventToSet(set, wanted_events(sockets[i].what), sockets[i].fd, NULL, NULL);
	}
	n = WaitEventSetWait(set, timeout_ms, events, MAX_SOCKETS + 2, PG_WAIT_EXTENSION);
	FreeWaitEventSet(set);
	return n;
}

static void
socket_action(curl_socket_t fd, uint32 events)
{
	int			mask = (events & WL_SOCKET_READABLE ? CURL_CSELECT_IN : 0) |
		(events & WL_SOCKET_WRITEABLE ? CURL_CSELECT_OUT : 0);
	int			running;
	sigset_t	before = block_signals();
	CURLMcode	code = curl_multi_socket_action(multi, fd, mask, &running);

	restore_signals(before);
	CURLM_CHECK(code);
}

/* Has the transfer ended, and how? */
static bool
transfer_ended(CURLcode *code)
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(multi, &left)) != NULL)
	{
		if (message->msg == CURLMSG_DONE)
		{
			*code = message->data.result;
			return true;
		}
	}
	return false;
}

static CURLcode
run_transfer(void (*tick) (void))
{
	TimestampTz last_tick = GetCurrentTimestamp();
	CURLcode	code = CURLE_OK;

	socket_action(CURL_SOCKET_TIMEOUT, 0);
	while (!transfer_ended(&code))
	{
		WaitEvent	events[MAX_SOCKETS + 2];
		int			n = wait_for_events(events);
		TimestampTz now;

		for (int i = 0; i < n; i++)
		{
			if (events[i].events & WL_LATCH_SET)
				ResetLatch(MyLatch);
			else
				socket_action(events[i].fd, events[i].events);
		}
		CHECK_FOR_INTERRUPTS();
		now = GetCurrentTimestamp();
		if (timer_at != 0 && now >= timer_at)
		{
			timer_at = 0;
			socket_action(CURL_SOCKET_TIMEOUT, 0);
		}
		if (TimestampDifferenceExceeds(last_tick, now, TICK_MS))
		{
			last_tick = now;
			tick();
		}
	}
	return code;
}

/* ---- what came of it ---- */

static HttpOutcome
outcome_of_status(long status)
{
	if (status >= 200 && status <= 299)
		return HTTP_ACCEPTED;
	switch (status)
	{
		case 400:
			return HTTP_BAD_REQUEST;
		case 413:
			return HTTP_TOO_LARGE;
		case 429:
		case 502:
		case 503:
		case 504:
			return HTTP_RETRY;
		default:
			return HTTP_REFUSED;
	}
}

/* Is the answer JSON?  What says nothing of its kind is taken by its first byte. */
static bool
response_is_json(const ResponseBody *body)
{
	char	   *type = NULL;

	if (curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type) == CURLE_OK && type)
		return pg_strncasecmp(type, "application/json", strlen("application/json")) == 0;
	return body->len > 0 && body->data[0] == '{';
}

static void
read_answer(const ResponseBody *body, HttpResult *result)
{
	Response	response;
	long		status = 0;
	curl_off_t	retry_after = 0;

	if (curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK)
		status = 0;
	if (curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after) == CURLE_OK && retry_after > 0)
		result->retry_after_ms = (long) Min(retry_after, 3600) * 1000;
	result->outcome = outcome_of_status(status);
	if (result->outcome != HTTP_ACCEPTED)
	{
		response_read_error(body->data, body->len, response_is_json(body), &response);
		snprintf(result->message, sizeof(result->message), "HTTP status %ld%s%s", status,
				 response.message[0] ? ": " : "", response.message);
	}
	else if (!response_read_success(body->data, body->len, response_is_json(body), &response))
		snprintf(result->message, sizeof(result->message),
				 "HTTP status %ld with a body that is no ExportTraceServiceResponse", status);
	else if (response.rejected_spans > 0 || response.message[0])
	{
		result->rejected = Max(response.rejected_spans, 0);
		snprintf(result->message, sizeof(result->message),
				 "partial success, " INT64_FORMAT " spans rejected: %s",
				 result->rejected, response.message);
	}
}

/*
 * Did it fail after some of the body was sent, and before an answer began?  What cannot be reached at all
 * (refused, not resolved, no TLS) says nothing of the request.
 */
static bool
was_cut_short(CURLcode code)
{
	long		status = 0;
	curl_off_t	sent = 0;

	return code != CURLE_COULDNT_CONNECT &&
		curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status == 0 &&
		curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &sent) == CURLE_OK && sent > 0;
}

static void
read_result(CURLcode code, const ResponseBody *body, HttpResult *result)
{
	if (code == CURLE_OK)
	{
		read_answer(body, result);
		return;
	}
	if (body->too_large)
	{
		result->outcome = HTTP_REFUSED;
		snprintf(result->message, sizeof(result->message),
				 "the response is larger than %d MiB", MAX_RESPONSE_SIZE / (1024 * 1024));
		return;
	}
	result->cut_short = was_cut_short(code);
	snprintf(result->message, sizeof(result->message), "%s",
			 error_buffer[0] ? error_buffer : curl_easy_strerror(code));
}

/* A gzip of the body in CurrentMemoryContext. */
static const char *
compress_body(const char *body, size_t *len)
{
	z_stream	stream;
	char	   *out;
	size_t		room;

	memset(&stream, 0, sizeof(stream));
	if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8,
					 Z_DEFAULT_STRATEGY) != Z_OK)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("could not initialize zlib")));
	room = deflateBound(&stream, *len);
	out = MemoryContextAllocHuge(CurrentMemoryContext, room);
	stream.next_in = (Bytef *) unconstify(char *, body);
	stream.avail_in = *len;
	stream.next_out = (Bytef *) out;
	stream.avail_out = room;
	if (deflate(&stream, Z_FINISH) != Z_STREAM_END)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("zlib: %s", stream.msg)));
	*len = stream.total_out;
	(void) deflateEnd(&stream);
	return out;
}

bool
http_url_is_valid(const char *url)
{
	CURLU	   *parsed = curl_url();
	char	   *scheme = NULL;
	bool		valid;

	valid = parsed && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
		curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		(pg_strcasecmp(scheme, "http") == 0 || pg_strcasecmp(scheme, "https") == 0);
	curl_free(scheme);
	curl_url_cleanup(parsed);
	return valid;
}

/* Makes the request and reads its answer, whatever that is. */
static void
perform(const ExporterConfig *config, const char *body, size_t len, const RequestHeaders *headers,
		ResponseBody *response, void (*tick) (void), HttpResult *result)
{
	CURLcode	code = set_request(config, body, len, headers->list, response);

	if (code == CURLE_OK)
	{
		CURLM_CHECK(curl_multi_add_handle(multi, easy));
		code = run_transfer(tick);
		CURLM_CHECK(curl_multi_remove_handle(multi, easy));
	}
	read_result(code, response, result);
	request_headers_redact(headers, result->message);
}

/* The same, with what it needs.  Nothing is left behind by an error, after which the worker goes on. */
static void
exchange(const ExporterConfig *config, const char *body, size_t len,
		 void (*tick) (void), HttpResult *result)
{
	ResponseBody response = {NULL, 0, false};
	RequestHeaders headers;

	request_headers_make(&headers, config);
	PG_TRY();
	{
		perform(config, body, len, &headers, &response, tick, result);
	}
	PG_FINALLY();
	{
		/* For a handle that is not in use this does nothing. */
		(void) curl_multi_remove_handle(multi, easy);
		request_headers_free(&headers);
		free(response.data);
	}
	PG_END_TRY();
}

void
http_post(const ExporterConfig *config, const char *body, size_t len,
		  void (*tick) (void), HttpResult *result)
{
	/* Where the worker leaves, it does so better before a request than in the middle of one. */
	tick();
	result->outcome = HTTP_RETRY;
	result->retry_after_ms = -1;
	result->cut_short = false;
	result->rejected = 0;
	result->message[0] = '\0';
	error_buffer[0] = '\0';
	if (config->url == NULL || !http_url_is_valid(config->url))
	{
		strlcpy(result->message, "otel.exporter_otlp_endpoint is not an http or https URL",
				sizeof(result->message));
		return;
	}
	if (config->gzip)
		body = compress_body(body, &len);
	exchange(config, body, len, tick, result);
	if (config->gzip)
		pfree(unconstify(char *, body));
}
