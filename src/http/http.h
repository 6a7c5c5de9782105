/*
 * http.h: the interface of otel_links_http.so, the only library of ours that needs libcurl and
 * zlib.
 *
 * It knows HTTP but no spans: requests are submitted and run side by side while the caller waits,
 * and the answers of those that have finished are taken one by one.  The exporter decides what an
 * answer means.  It loads the library when it first sends (exporter/transport.c); no backend ever
 * does.
 *
 * Nothing here raises an error for what the network or a server does.  Each function says below
 * what it raises.  After an error, cancel(NULL) ends all requests and frees them.
 */
#ifndef OTEL_LINKS_HTTP_H
#define OTEL_LINKS_HTTP_H

#include "postgres.h"

#define HTTP_LIBRARY "otel_links_http"
#define HTTP_FUNCTION "otel_links_http_interface"

typedef struct HttpRequest
{
	const char *url;			/* http or https; its path is sent as it is */
	const char *user_agent;
	const char *const *headers; /* "name: value", "name;" for an empty value; ends with NULL */
	const char *body;			/* not copied: keep it until the answer is taken or cancelled */
	size_t		len;
	bool		gzip;			/* compress the body; the caller sets Content-Encoding */
	bool		fresh;			/* on a new connection */
	long		timeout_ms;		/* 0: none */
	const char *certificate;	/* names of PEM files; empty for none */
	const char *client_certificate;
	const char *client_key;
	void	   *owner;			/* comes back with the answer */
} HttpRequest;

typedef enum HttpEnd
{
	HTTP_ANSWERED,				/* status, content_type and body are the server's */
	HTTP_BAD_URL,				/* no URL, or not http or https: nothing was sent */
	HTTP_BAD_CERTIFICATE,		/* likewise: the file of trusted certificates cannot be used */
	HTTP_BAD_CLIENT_CERTIFICATE,	/* likewise: the client certificate or its key cannot be used */
	HTTP_RESPONSE_TOO_LARGE,	/* above HTTP_MAX_RESPONSE_SIZE */
	HTTP_CUT_SHORT,				/* some of the body was sent, and no answer began */
	HTTP_FAILED					/* no answer for any other reason */
} HttpEnd;

/*
 * The outcome of a finished request.  Its memory is valid until the next call of any function here.
 */
typedef struct HttpAnswer
{
	void	   *owner;
	HttpEnd		end;
	long		status;
	const char *content_type;	/* empty where the server gave none */
	const char *body;			/* as received: no Accept-Encoding is sent */
	size_t		len;
	long		retry_after_s;	/* Retry-After, given in seconds or as a date; -1: none */
	const char *error;			/* why there is no answer, for people */
} HttpAnswer;

/* A larger response is an error.  Those that mean anything to us have a few hundred bytes. */
#define HTTP_MAX_RESPONSE_SIZE (4 * 1024 * 1024)

typedef struct HttpInterface
{
	/* As the library was compiled.  The caller refuses a library that differs from itself. */
	const char *version;
	size_t		request_size;
	size_t		answer_size;

	/* Starts a request.  Raises out_of_memory, and then leaves nothing behind. */
	void		(*submit) (const HttpRequest *request);

	/*
	 * Lets requests go on until something happens, MyLatch is set or the time has passed.  Returns
	 * whether the latch was set, which is then reset.  The caller handles interrupts.  Raises what
	 * waiting for events raises, and an error of libcurl's own, such as for lack of memory.
	 * wait_event is for pg_stat_activity.
	 */
	bool		(*wait) (long timeout_ms, uint32 wait_event);

	/* The answer to a request that has finished; false when none has. */
	bool		(*take) (HttpAnswer *answer);

	/* Ends the request of an owner, or with NULL all of them, without an answer. */
	void		(*cancel) (void *owner);

	/* How many requests were submitted and neither taken nor cancelled. */
	int			(*pending) (void);
} HttpInterface;

typedef const HttpInterface *(*http_interface_function) (void);

#endif
