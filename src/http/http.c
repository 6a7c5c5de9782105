/*
 * http.c: HTTP requests side by side, by libcurl.
 *
 * libcurl's multi interface names the sockets it waits for.  They are waited for in a WaitEventSet
 * together with the process's latch, so that a signal, a reload or a wake-up of the worker is
 * noticed at once, even while a server hangs.  Connections are kept alive and shared by all
 * requests.  What one request needs is in transfer.c.
 *
 * libcurl may resolve names in a thread of its own.  Signals are blocked while libcurl runs: the
 * thread inherits that, so that no signal handler of PostgreSQL ever runs in it.
 *
 * All Transfers are in one list: whatever error is raised anywhere, cancel(NULL) frees everything.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>

#include "fmgr.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "http/http.h"
#include "http/transfer.h"
#include "monotonic.h"

OTEL_LINKS_MODULE_MAGIC("otel_links_http");

extern PGDLLEXPORT const HttpInterface *otel_links_http_interface(void);

/* A failure here is a bug of ours or a lack of memory, never caused by the network. */
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

/* ---- submitting ---- */

/* Ends a request, should it still be under way, and frees it. */
static void
end_transfer(Transfer *t)
{
	sigset_t	before;

	if (t == NULL)
		return;
	before = block_signals();
	/* For a handle that was never added, or a refused one, this does nothing. */
	(void) curl_multi_remove_handle(multi, t->easy);
	transfer_free(t);
	restore_signals(before);
}

static void
free_taken(void)
{
	end_transfer(taken);
	taken = NULL;
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

/* ---- answers ---- */

static bool
http_take(HttpAnswer *answer)
{
	dlist_iter	iter;

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
	transfer_answer(taken, answer);
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
		end_transfer(t);
	}
}

static int
http_pending(void)
{
	return ntransfers;
}

/* Sets libcurl up.  Raises an error when that fails. */
static void
initialize(void)
{
	sigset_t	before = block_signals();
	CURLM	   *made = NULL;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
		made = curl_multi_init();
	if (made != NULL &&
		(curl_multi_setopt(made, CURLMOPT_SOCKETFUNCTION, socket_callback) != CURLM_OK ||
		 curl_multi_setopt(made, CURLMOPT_TIMERFUNCTION, timer_callback) != CURLM_OK))
	{
		(void) curl_multi_cleanup(made);
		made = NULL;
	}
	restore_signals(before);
	if (made == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("could not initialize libcurl")));
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
