/*
 * expire.h: otel.retention.
 */
#ifndef OTEL_EXPORTER_EXPIRE_H
#define OTEL_EXPORTER_EXPIRE_H

#include "exporter/config.h"

/*
 * Does a step of the pass that is under way or due: deletes, in one short transaction, some rows
 * that otel.retention no longer keeps.  Returns whether the pass goes on.  Outside transactions.
 */
extern bool expire_some(const ExporterConfig *config);

#endif
