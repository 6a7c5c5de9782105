/*
 * queue_tables.h: the columns of the queue and its companions, by position from 0, as the install script
 * creates them, and how they are opened.  otel.failed_spans and otel.exported_spans begin with the queue's columns.
 */
#ifndef OTEL_LINKS_QUEUE_TABLES_H
#define OTEL_LINKS_QUEUE_TABLES_H

#include "postgres.h"
#include "utils/rel.h"

/*
 * Opens one of them by name.  An error when it is gone, or when a superuser has put something else in its place,
 * which could not be read as a table.
 */
extern Relation export_table_open(const char *name, LOCKMODE mode);

/* otel.span_queue */
enum
{
	QUEUE_ORIGIN_SYSTEM,
	QUEUE_START_TIME,
	QUEUE_END_TIME,
	QUEUE_ORIGIN_DATABASE,
	QUEUE_DROPPED_ATTRIBUTES_COUNT,
	QUEUE_DROPPED_EVENTS_COUNT,
	QUEUE_DROPPED_LINKS_COUNT,
	QUEUE_KIND,
	QUEUE_STATUS_CODE,
	QUEUE_TRACE_FLAGS,
	QUEUE_PARENT_IS_REMOTE,
	QUEUE_TRACE_ID,
	QUEUE_SPAN_ID,
	QUEUE_PARENT_SPAN_ID,
	QUEUE_NAME,
	QUEUE_TRACE_STATE,
	QUEUE_STATUS_MESSAGE,
	QUEUE_ATTRIBUTES,
	QUEUE_EVENTS,
	QUEUE_LINKS,
	QUEUE_LINK_DROPPED_ATTRIBUTES_COUNTS,
	QUEUE_LOCAL_LINKS,
	QUEUE_COLUMNS
};

/* otel.failed_spans: after the queue's columns */
enum
{
	FAILED_AT = QUEUE_COLUMNS,
	FAILED_ERROR,
	FAILED_COLUMNS
};

/* otel.exported_spans: after the queue's columns */
enum
{
	EXPORTED_AT = QUEUE_COLUMNS,
	EXPORTED_COLUMNS
};

/* otel.exporter_state */
enum
{
	STATE_EXPORTED,
	STATE_REJECTED,
	STATE_DROPPED,
	STATE_START_FAILURES_SEEN,
	STATE_LAST_SUCCESS,
	STATE_LAST_ERROR_AT,
	STATE_LAST_ERROR,
	STATE_COLUMNS
};

#endif
