/*
 * sampler.h: is a new span recorded?
 */
#ifndef OTEL_LINKS_SAMPLER_H
#define OTEL_LINKS_SAMPLER_H

#include "postgres.h"
#include "links/span_link.h"

/*
 * The decision of otel.traces_sampler (OpenTelemetry SDK environment variables,
 * OTEL_TRACES_SAMPLER) for a span of that trace.  parent is its parent's context or NULL; links are
 * those it starts with.
 */
extern bool sampler_decide(const uint8 *trace_id, const struct varlena *parent,
						   const SpanLink *links, int nlinks);

#endif
