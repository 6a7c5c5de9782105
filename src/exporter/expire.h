/*
 * expire.h: otel.retention.
 */
#ifndef OTEL_EXPORTER_EXPIRE_H
#define OTEL_EXPORTER_EXPIRE_H

#include "exporter/config.h"

/*
 * Removes some of what otel.retention no longer keeps, when it is time to look, in one short
 * transaction. True when there is more to look at.  In no transaction.
 */
extern bool expire_some(const ExporterConfig *config);

#endif
