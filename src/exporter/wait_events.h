/*
 * wait_events.h: what pg_stat_activity says the exporter waits for.
 */
#ifndef OTEL_EXPORTER_WAIT_EVENTS_H
#define OTEL_EXPORTER_WAIT_EVENTS_H

#include "postgres.h"

#include "utils/wait_event.h"

/* An extension can name its wait events since PostgreSQL 17; before, all are "Extension". */
#if PG_VERSION_NUM >= 170000
static inline uint32
named_wait_event(uint32 *event, const char *name)
{
	if (*event == 0)
		*event = WaitEventExtensionNew(name);
	return *event;
}
#define DEFINE_WAIT_EVENT(function_, name_) \
static inline uint32 \
function_(void) \
{ \
	static uint32 event; \
	return named_wait_event(&event, name_); \
}
#else
#define DEFINE_WAIT_EVENT(function_, name_) \
static inline uint32 \
function_(void) \
{ \
	return PG_WAIT_EXTENSION; \
}
#endif

DEFINE_WAIT_EVENT(wait_event_idle, "OtelLinksExporterIdle")
DEFINE_WAIT_EVENT(wait_event_retry, "OtelLinksExporterRetry")
DEFINE_WAIT_EVENT(wait_event_collector, "OtelLinksExporterCollector")
DEFINE_WAIT_EVENT(wait_event_launcher, "OtelLinksLauncherSlot")

#endif
