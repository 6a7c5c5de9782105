/*
 * sampler.h: is a new span recorded?
 */
#ifndef OTEL_LINKS_SAMPLER_H
#define OTEL_LINKS_SAMPLER_H

#include "postgres.h"
#include "links/span_link.h"

/*
 * What otel.traces_sampler decides for a span of that trace (OpenTelemetry SDK environment
 * variables, OTEL_TRACES_SAMPLER).  parent is its parent's context or NULL; links are those that it
 * starts with.
 */
extern bool sampler_decide(const uint8 *trace_id, const struct varlena *parent,
						   const SpanLink *links, int nlinks);

#endif
