/*
 * http.c: HTTP requests side by side, by libcurl.
 *
 * libcurl's multi interface tells which sockets it waits for; they join the process's latch in a
 * WaitEventSet, so that a signal, a reload or somebody who wakes the worker is seen at once, also
 * while a server hangs.  Connections are kept alive and shared by all requests.
 *
 * libcurl may resolve names in a thread of its own.  Signals are blocked while it runs, so that the
 * thread inherits that and no handler of PostgreSQL ever runs in it.
 *
 * What a request needs is malloc()ed and hangs on its Transfer, and all Transfers on one list:
 * whatever error is raised anywhere, cancel(NULL) frees everything.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <zlib.h>

#include "fmgr.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "http/http.h"
#include "monotonic.h"

OTEL_LINKS_MODULE_MAGIC("otel_links_http");

extern PGDLLEXPORT const HttpInterface *otel_links_http_interface(void);

/*
 * A connection that is older is not used again, so that what a load balancer or a name server
 * decides anew reaches a server that never rests.
 */
#define MAX_CONNECTION_AGE_S 300

/* A folder that every data directory has and that holds no certificates. */
#define EMPTY_FOLDER "pg_snapshots"


/* Unless CURLE_OK, the code is the result of the function that says so. */
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

typedef struct Transfer
{
	dlist_node	node;			/* of transfers */
	void	   *owner;
	CURL	   *easy;
	struct curl_slist *headers;
	char	   *compressed;		/* the body, when it was gzipped here */
	char	   *response;
	size_t		response_len;
	bool		response_too_large;
	bool		finished;
	CURLcode	code;			/* how it finished */
	char		error[CURL_ERROR_SIZE];
} Transfer;

typedef struct WatchedSocket
{
	curl_socket_t fd;
	int			what;			/* CURL_POLL_* */
} WatchedSocket;

static CURLM *multi;
static dlist_head transfers = DLIST_STATIC_INIT(transfers);
static int	ntransfers;
static Transfer *taken;			/* the one whose answer was handed out last */

static WatchedSocket *sockets;
static int	nsockets;
static int	max_sockets;
static int64 timer_at;			/* monotonic_ms() when libcurl wants to be called; 0: never */

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
	if (nsockets == max_sockets)
	{
		int			more = max_sockets + 16;
		WatchedSocket *grown = realloc(sockets, more * sizeof(WatchedSocket));

		if (grown == NULL)
			return -1;
		sockets = grown;
		max_sockets = more;
	}
	sockets[nsockets].fd = fd;
	sockets[nsockets++].what = what;
	return 0;
}

static int
timer_callback(CURLM *handle, long timeout_ms, void *arg)
{
	timer_at = timeout_ms < 0 ? 0 : monotonic_ms() + timeout_ms;
	return 0;
}

static size_t
write_callback(char *data, size_t size, size_t count, void *arg)
{
	Transfer   *t = arg;
	size_t		len = size * count;
	char	   *grown;

	if (len > HTTP_MAX_RESPONSE_SIZE - t->response_len)
	{
		t->response_too_large = true;
		return 0;				/* ends the transfer */
	}
	grown = realloc(t->response, t->response_len + len + 1);
	if (grown == NULL)
		return 0;
	t->response = grown;
	memcpy(t->response + t->response_len, data, len);
	t->response_len += len;
	return len;
}

/* ---- setting up a request ---- */

static CURLcode
set_protocols(CURL *easy)
{
#if LIBCURL_VERSION_NUM >= 0x075500
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https"));
#else
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L));
	return curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
}

static CURLcode
set_tls(CURL *easy, const HttpRequest *request)
{
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L));
	if (*request->certificate)
	{
		/*
		 * It takes the place of all the system's certificates.  NULL would bring their folder
		 * back in libcurl 8.22.
		 */
		RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_CAINFO, request->certificate));
		RETURN_UNLESS_OK_OR_ABSENT(curl_easy_setopt(easy, CURLOPT_CAPATH, EMPTY_FOLDER));
	}
#if LIBCURL_VERSION_NUM >= 0x075700
	/* Otherwise a file that is replaced counts after a day. */
	RETURN_UNLESS_OK_OR_ABSENT(curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L));
#endif
	if (*request->client_certificate)
		RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_SSLCERT, request->client_certificate));
	if (*request->client_key)
		RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_SSLKEY, request->client_key));
	return CURLE_OK;
}

static CURLcode
set_connection(CURL *easy, const HttpRequest *request)
{
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L));
#if LIBCURL_VERSION_NUM >= 0x075700
	/*
	 * After a time-out, a thread that still waits for a name server is left behind, not waited
	 * for.
	 */
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L));
#endif
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, request->timeout_ms));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, request->timeout_ms));
#if LIBCURL_VERSION_NUM >= 0x075000
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN, (long) MAX_CONNECTION_AGE_S));
#endif
	return curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long) request->fresh);
}

static CURLcode
set_request(Transfer *t, const HttpRequest *request, const char *body, size_t len)
{
	CURL	   *easy = t->easy;

	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->error));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_PRIVATE, t));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_URL, request->url));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_USERAGENT, request->user_agent));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_POST, 1L));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) len));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->headers));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, write_callback));
	RETURN_UNLESS_OK(curl_easy_setopt(easy, CURLOPT_WRITEDATA, t));
	RETURN_UNLESS_OK(set_connection(easy, request));
	RETURN_UNLESS_OK(set_protocols(easy));
	return set_tls(easy, request);
}

/* Adds the headers; false for want of memory. */
static bool
add_headers(Transfer *t, const char *const *headers)
{
	for (; *headers; headers++)
	{
		struct curl_slist *list = curl_slist_append(t->headers, *headers);

		if (list == NULL)
			return false;
		t->headers = list;
	}
	return true;
}

/* Compresses the body; false for want of memory. */
static bool
compress_body(Transfer *t, const HttpRequest *request, size_t *len)
{
	z_stream	stream;
	size_t		room;
	bool		done;

	memset(&stream, 0, sizeof(stream));
	if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8,
					 Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	room = deflateBound(&stream, request->len);
	t->compressed = malloc(room);
	stream.next_in = (Bytef *) unconstify(char *, request->body);
	stream.avail_in = request->len;
	stream.next_out = (Bytef *) t->compressed;
	stream.avail_out = room;
	done = t->compressed && deflate(&stream, Z_FINISH) == Z_STREAM_END;
	*len = stream.total_out;
	(void) deflateEnd(&stream);
	return done;
}

static void
transfer_free(Transfer *t)
{
	if (t == NULL)
		return;
	if (t->easy)
	{
		sigset_t	before = block_signals();

		/* For a handle that is not in use this does nothing. */
		(void) curl_multi_remove_handle(multi, t->easy);
		curl_easy_cleanup(t->easy);
		restore_signals(before);
	}
	curl_slist_free_all(t->headers);
	free(t->compressed);
	free(t->response);
	free(t);
}

static void
free_taken(void)
{
	transfer_free(taken);
	taken = NULL;
}

/* All that a request needs, on the list; NULL for want of memory. */
static Transfer *
transfer_make(const HttpRequest *request)
{
	Transfer   *t = calloc(1, sizeof(Transfer));
	const char *body = request->body;
	size_t		len = request->len;
	bool		made;

	if (t == NULL)
		return NULL;
	t->owner = request->owner;
	t->easy = curl_easy_init();
	made = t->easy && add_headers(t, request->headers) &&
		(!request->gzip || compress_body(t, request, &len));
	if (t->compressed)
		body = t->compressed;
	if (made)
		t->code = set_request(t, request, body, len);
	if (!made || t->code == CURLE_OUT_OF_MEMORY)
	{
		transfer_free(t);
		return NULL;
	}
	return t;
}

static void
http_submit(const HttpRequest *request)
{
	sigset_t	before;
	Transfer   *t;

	free_taken();
	before = block_signals();
	t = transfer_make(request);
	if (t && t->code != CURLE_OK)
		t->finished = true;		/* an option was refused: its answer says which */
	else if (t && curl_multi_add_handle(multi, t->easy) != CURLM_OK)
	{
		transfer_free(t);
		t = NULL;
	}
	restore_signals(before);
	if (t == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	dlist_push_tail(&transfers, &t->node);
	ntransfers++;
}

/* ---- running ---- */

static uint32
wanted_events(int what)
{
	return (what & CURL_POLL_IN ? WL_SOCKET_READABLE : 0) |
		(what & CURL_POLL_OUT ? WL_SOCKET_WRITEABLE : 0);
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

static void
note_finished(void)
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(multi, &left)) != NULL)
	{
		char	   *t = NULL;

		if (message->msg != CURLMSG_DONE ||
			curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t) != CURLE_OK)
			continue;
		((Transfer *) t)->code = message->data.result;
		((Transfer *) t)->finished = true;
	}
}

static bool
any_finished(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &transfers)
	{
		if (dlist_container(Transfer, node, iter.cur)->finished)
			return true;
	}
	return false;
}

/* Waits for a socket, the latch, or the time; returns whether the latch was set. */
static bool
wait_for_events(long timeout_ms, uint32 wait_event)
{
	WaitEventSet *set = CreateSessionWaitEventSet(nsockets + 2);
	WaitEvent  *events = palloc((nsockets + 2) * sizeof(WaitEvent));
	bool		latch_set = false;
	int			n;

	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	for (int i = 0; i < nsockets; i++)
	{
		if (wanted_events(sockets[i].what) != 0)
			AddWaitEventToSet(set, wanted_events(sockets[i].what), sockets[i].fd, NULL, NULL);
	}
	n = WaitEventSetWait(set, timeout_ms, events, nsockets + 2, wait_event);
	FreeWaitEventSet(set);
	for (int i = 0; i < n; i++)
	{
		if (events[i].events & WL_LATCH_SET)
			latch_set = true;
		else
			socket_action(events[i].fd, events[i].events);
	}
	pfree(events);
	if (latch_set)
		ResetLatch(MyLatch);
	return latch_set;
}

static bool
http_wait(long timeout_ms, uint32 wait_event)
{
	bool		latch_set = false;

	free_taken();
	if (!any_finished())
	{
		if (timer_at != 0)
			timeout_ms = Min(timeout_ms, Max(timer_at - monotonic_ms(), 0));
		latch_set = wait_for_events(timeout_ms, wait_event);
		if (timer_at != 0 && monotonic_ms() >= timer_at)
		{
			timer_at = 0;
			socket_action(CURL_SOCKET_TIMEOUT, 0);
		}
		note_finished();
	}
	return latch_set;
}

/* ---- what came of it ---- */

/*
 * Did it fail after some of the body was sent, and before an answer began?  What cannot be
 * reached at all (refused, not resolved, no TLS) says nothing of the request.
 */
static bool
was_cut_short(Transfer *t)
{
	long		status = 0;
	curl_off_t	sent = 0;

	return t->code != CURLE_COULDNT_CONNECT &&
		curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status == 0 &&
		curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &sent) == CURLE_OK && sent > 0;
}

static HttpEnd
end_of(Transfer *t)
{
	switch (t->code)
	{
		case CURLE_OK:
			return HTTP_ANSWERED;
		case CURLE_URL_MALFORMAT:
			return HTTP_BAD_URL;
		case CURLE_SSL_CACERT_BADFILE:
			return HTTP_BAD_CERTIFICATE;
		case CURLE_SSL_CERTPROBLEM:
			return HTTP_BAD_CLIENT_CERTIFICATE;
		default:
			if (t->response_too_large)
				return HTTP_RESPONSE_TOO_LARGE;
			return was_cut_short(t) ? HTTP_CUT_SHORT : HTTP_FAILED;
	}
}

static bool
http_take(HttpAnswer *answer)
{
	dlist_iter	iter;
	char	   *type = NULL;
	curl_off_t	retry_after = 0;

	free_taken();
	dlist_foreach(iter, &transfers)
	{
		Transfer   *t = dlist_container(Transfer, node, iter.cur);

		if (!t->finished)
			continue;
		taken = t;
		dlist_delete(&t->node);
		ntransfers--;
		break;
	}
	if (taken == NULL)
		return false;

	memset(answer, 0, sizeof(*answer));
	answer->owner = taken->owner;
	answer->end = end_of(taken);
	(void) curl_easy_getinfo(taken->easy, CURLINFO_RESPONSE_CODE, &answer->status);
	(void) curl_easy_getinfo(taken->easy, CURLINFO_CONTENT_TYPE, &type);
	answer->content_type = type ? type : "";
	answer->body = taken->response;
	answer->len = taken->response_len;
	answer->retry_after_s = -1;
	if (curl_easy_getinfo(taken->easy, CURLINFO_RETRY_AFTER, &retry_after) == CURLE_OK &&
		retry_after > 0)
		answer->retry_after_s = (long) Min(retry_after, LONG_MAX);
	answer->error = taken->error[0] ? taken->error : curl_easy_strerror(taken->code);
	return true;
}

static void
http_cancel(void *owner)
{
	dlist_mutable_iter iter;

	free_taken();
	dlist_foreach_modify(iter, &transfers)
	{
		Transfer   *t = dlist_container(Transfer, node, iter.cur);

		if (owner != NULL && t->owner != owner)
			continue;
		dlist_delete(&t->node);
		ntransfers--;
		transfer_free(t);
	}
}

static int
http_pending(void)
{
	return ntransfers;
}

/* Sets libcurl up, once; raises an error when that fails. */
static void
initialize(void)
{
	sigset_t	before = block_signals();
	CURLM	   *made = NULL;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
		made = curl_multi_init();
	restore_signals(before);
	if (made == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("could not initialize libcurl")));
	CURLM_CHECK(curl_multi_setopt(made, CURLMOPT_SOCKETFUNCTION, socket_callback));
	CURLM_CHECK(curl_multi_setopt(made, CURLMOPT_TIMERFUNCTION, timer_callback));
	multi = made;
}

const HttpInterface *
otel_links_http_interface(void)
{
	static const HttpInterface interface = {
		.version = OTEL_LINKS_VERSION,
		.request_size = sizeof(HttpRequest),
		.answer_size = sizeof(HttpAnswer),
		.submit = http_submit,
		.wait = http_wait,
		.take = http_take,
		.cancel = http_cancel,
		.pending = http_pending,
	};

	if (multi == NULL)
		initialize();
	return &interface;
}
