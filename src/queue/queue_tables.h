/*
 * queue_tables.h: the queue and its companions: their columns, and how they are opened.
 *
 * Owns the columns of the tables and of otel.span_event, by position from 0, as the install script
 * creates them.  otel.failed_spans and otel.exported_spans begin with the queue's columns.
 *
 * Tables are read and written by column position, so a table's definition is checked before its
 * first use in a process and again after each change to it.
 */
#ifndef OTEL_LINKS_QUEUE_TABLES_H
#define OTEL_LINKS_QUEUE_TABLES_H

#include "postgres.h"
#include "utils/rel.h"
#include "columns.h"

typedef struct QueueTable
{
	const char *name;			/* in the schema otel */
	const Column *columns;
	int			ncolumns;
	bool		written_at_commit;	/* by sessions, so a unique index is refused */
	Oid			checked;		/* the table that last passed the check */
} QueueTable;

extern QueueTable span_queue_table;
extern QueueTable failed_spans_table;
extern QueueTable exported_spans_table;
extern QueueTable exporter_state_table;

/*
 * Opens one of them.  Raises undefined_table when it is gone, and object_not_in_prerequisite_state,
 * by name, when it is not what the install script made.
 */
extern Relation queue_table_open(QueueTable *table, LOCKMODE mode);

/*
 * NULL when an open relation is as expected, otherwise what is wrong with it: a sentence,
 * translated and in CurrentMemoryContext.
 */
extern char *queue_table_mismatch(QueueTable *table, Relation rel);

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
	QUEUE_PARENT_IS_REMOTE,
	QUEUE_CONTEXT,
	QUEUE_PARENT_SPAN_ID,
	QUEUE_NAME,
	QUEUE_STATUS_MESSAGE,
	QUEUE_ATTRIBUTES,
	QUEUE_EVENTS,
	QUEUE_LINKS,
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

/* otel.span_event */
enum
{
	SPAN_EVENT_TIME,
	SPAN_EVENT_NAME,
	SPAN_EVENT_ATTRIBUTES,
	SPAN_EVENT_DROPPED_ATTRIBUTES_COUNT,
	SPAN_EVENT_COLUMNS
};

extern RowType span_event_row_type;

/* otel.exporter_state */
enum
{
	STATE_ORIGIN_SYSTEM,
	STATE_ORIGIN_DATABASE,
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
