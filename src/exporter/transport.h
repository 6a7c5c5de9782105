/*
 * transport.h: loading otel_links_http.so and talking to it.
 *
 * It owns the loading of that library and what all requests of the exporter have in common: where
 * they go, certificates, user agent.  answer.h decides what an answer means, and deliver.h what is
 * done about it.
 */
#ifndef OTEL_EXPORTER_TRANSPORT_H
#define OTEL_EXPORTER_TRANSPORT_H

#include "postgres.h"

#include "exporter/config.h"
#include "exporter/headers.h"
#include "http/http.h"

typedef struct TransportRequest
{
	const RequestHeaders *headers;
	const char *body;			/* not copied: keep it until the answer is taken or cancelled */
	size_t		len;
	long		timeout_ms;		/* 0: none */
	bool		fresh;			/* on a new connection */
	void	   *owner;			/* comes back with the answer */
} TransportRequest;

/*
 * Starts a POST.  No transaction may be open.  Raises an error when the library cannot be loaded or
 * memory is short, never for what the network or the server does.
 */
extern void transport_submit(const ExporterConfig *config, const TransportRequest *request);

/*
 * Lets requests go on, at most this long; returns whether the latch was set, which is then reset.
 * There must have been a request before.  Raises as wait() of http/http.h does.
 */
extern bool transport_wait(long timeout_ms);

/*
 * The answer to a request that has finished; false when none has.  It is valid until the next call
 * of transport_submit(), transport_wait(), transport_take() or transport_cancel().
 */
extern bool transport_take(HttpAnswer *answer);

/* How many requests are neither taken nor cancelled. */
extern int	transport_pending(void);

/* Ends all requests, without answers: after an error. */
extern void transport_cancel(void);

#endif
