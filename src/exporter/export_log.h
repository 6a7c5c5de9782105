/*
 * export_log.h: what the exporter logs about the collector, and how often.
 */
#ifndef OTEL_EXPORTER_EXPORT_LOG_H
#define OTEL_EXPORTER_EXPORT_LOG_H

#include "postgres.h"

/* Nothing can be exported, and why: one line when it begins, not one an attempt. */
extern void export_log_failure(const char *error);

/* The end of what export_log_failure() logged. */
extern void export_log_success(void);

/* What goes wrong while most goes well. */
extern void export_log_complaint(const char *error);

/* After the configuration was read again: what is still wrong is logged once more. */
extern void export_log_forget(void);

#endif
