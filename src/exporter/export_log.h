/*
 * export_log.h: what the exporter logs about the collector, and how often.
 */
#ifndef OTEL_EXPORTER_EXPORT_LOG_H
#define OTEL_EXPORTER_EXPORT_LOG_H

#include "postgres.h"

/* Logs why nothing can be exported: when that begins, not for each attempt. */
extern void export_log_failure(const char *error);

/* Logs that spans are exported again, if export_log_failure() logged anything. */
extern void export_log_success(void);

/* Logs a problem with some spans, while others are exported. */
extern void export_log_complaint(const char *error);

/* After the configuration was reloaded: has what is still wrong logged once more. */
extern void export_log_forget(void);

#endif
