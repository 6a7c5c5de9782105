/*
 * transport.h: the way from encoded spans to otel_links_http.so and back.
 *
 * It owns the loading of that library and what every request of the exporter has in common: where it goes,
 * headers, certificates, time-out.  What an answer means is answer.h's.
 */
#ifndef OTEL_EXPORTER_TRANSPORT_H
#define OTEL_EXPORTER_TRANSPORT_H

#include "postgres.h"

#include "exporter/answer.h"
#include "exporter/config.h"

/*
 * POSTs a request body and waits for its answer.  No transaction may be open.  Runs CHECK_FOR_INTERRUPTS(),
 * and tick() at least twice a second.  Raises an error when the library cannot be loaded, never for what the
 * network or the server does.
 */
extern void transport_post(const ExporterConfig *config, const char *body, size_t len,
						   void (*tick) (void), Answer *answer);

/* Ends all that is under way.  After an error. */
extern void transport_cancel(void);

#endif
