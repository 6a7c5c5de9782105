/*
 * bound.h: otel.queue_max_size.
 */
#ifndef OTEL_EXPORTER_BOUND_H
#define OTEL_EXPORTER_BOUND_H

#include "exporter/config.h"

/*
 * Drops the oldest spans, counting them, while the spans in the queue take more than the setting
 * says.  In no transaction; calls tick() now and then.
 */
extern void bound_enforce(const ExporterConfig *config, void (*tick) (void));

#endif
