/*
 * resource.h: what stands around the spans of a request: resource, scope and schema.
 */
#ifndef OTEL_OTLP_RESOURCE_H
#define OTEL_OTLP_RESOURCE_H

#include "postgres.h"
#include "exporter/config.h"
#include "exporter/otlp/writer.h"

/* The resource and the scope as they are encoded, the same for all requests of a batch. */
typedef struct Envelope
{
	bool		json;
	Writer		resource;		/* everything of ResourceSpans before the ScopeSpans */
	Writer		scope;			/* everything of ScopeSpans before the spans */
	const char *problem;		/* why otel.resource_attributes is ignored; NULL: it is not */
} Envelope;

/*
 * Makes the envelope, in CurrentMemoryContext.  It needs a transaction, to convert text and to look
 * up the database's name.
 */
extern void envelope_make(Envelope *envelope, const ExporterConfig *config);

/* Appends an ExportTraceServiceRequest with the spans, as otlp_append_span() left them, to body. */
extern void envelope_put_request(const Envelope *envelope, const char *spans, size_t len,
								 ByteBuffer *body);

#endif
