/*
 * bound.h: otel.queue_max_size.
 */
#ifndef OTEL_EXPORTER_BOUND_H
#define OTEL_EXPORTER_BOUND_H

#include "exporter/config.h"

/*
 * When the spans in the queue take more than the setting allows, drops the oldest until they take a
 * tenth less, and counts them.  Outside transactions; calls tick() now and then.
 */
extern void bound_enforce(const ExporterConfig *config, void (*tick) (void));

#endif
