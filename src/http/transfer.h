/*
 * transfer.h: one HTTP request, from its options to its answer.
 *
 * Nothing here raises.  The caller blocks signals while a request is made or freed, because libcurl
 * may start a thread (http.c).
 */
#ifndef OTEL_LINKS_TRANSFER_H
#define OTEL_LINKS_TRANSFER_H

#include "postgres.h"

#include <curl/curl.h>

#include "http/http.h"
#include "lib/ilist.h"

typedef struct Transfer
{
	dlist_node	node;			/* of transfers */
	void	   *owner;
	CURL	   *easy;
	struct curl_slist *headers;
	char	   *compressed;		/* the body, when it was gzipped here */
	char	   *response;
	size_t		response_len;
	bool		has_client_key;
	bool		response_too_large;
	bool		finished;
	CURLcode	code;			/* how it finished */
	char		error[CURL_ERROR_SIZE];
} Transfer;

/* Makes what a request needs; NULL when memory is short.  code says if an option was refused. */
extern Transfer *transfer_make(const HttpRequest *request);

/* Frees it.  It must not be running. */
extern void transfer_free(Transfer *t);

/* The outcome of a finished request.  The answer's memory belongs to the transfer. */
extern void transfer_answer(Transfer *t, HttpAnswer *answer);

#endif
