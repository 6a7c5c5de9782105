/*
 * transport.h: the way from encoded spans to otel_links_http.so and back.
 *
 * It owns the loading of that library and what every request of the exporter has in common: where
 * it goes, certificates, user agent.  What an answer means is answer.h's, and what is done about
 * it deliver.h's.
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
	const char *body;			/* stays as it is until the answer is taken or cancelled */
	size_t		len;
	long		timeout_ms;		/* 0: none */
	bool		fresh;			/* on a new connection */
	void	   *owner;			/* comes back with the answer */
} TransportRequest;

/*
 * Starts a POST.  No transaction may be open.  Raises an error when the library cannot be loaded,
 * never for what the network or the server does.
 */
extern void transport_submit(const ExporterConfig *config, const TransportRequest *request);

/*
 * Waits for requests under way, at most so long; returns whether the latch was set, which is
 * reset then.
 */
extern bool transport_wait(long timeout_ms);

/*
 * The answer to one that has finished, valid until the next call of a function here; false: none
 * has.
 */
extern bool transport_take(HttpAnswer *answer);

/* How many are under way. */
extern int	transport_pending(void);

/* Ends all that is under way.  After an error. */
extern void transport_cancel(void);

#endif
