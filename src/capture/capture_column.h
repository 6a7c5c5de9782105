/*
 * capture_column.h: which columns can take a context, and how one is put into each.
 *
 * Owns these rules, for the trigger as well as for the functions that install it.
 */
#ifndef OTEL_LINKS_CAPTURE_COLUMN_H
#define OTEL_LINKS_CAPTURE_COLUMN_H

#include "postgres.h"
#include "access/tupdesc.h"

#include "context/header_text.h"

/* What the column can take. */
typedef enum CaptureColumnKind
{
	CAPTURE_COLUMN_NONE,		/* nothing */
	CAPTURE_COLUMN_TRACE_CONTEXT,
	CAPTURE_COLUMN_TEXT,		/* text and varchar: a traceparent, or JSON kept as text */
	CAPTURE_COLUMN_JSON,
	CAPTURE_COLUMN_JSONB
} CaptureColumnKind;

/* The types that can take a context, for messages. */
#define CAPTURE_COLUMN_TYPES \
	"otel.trace_context, text, varchar of 55 characters or more, json or jsonb"

/*
 * The kind of a column.  NONE also for generated columns, and for domains, because we would bypass
 * their checks.
 */
extern CaptureColumnKind capture_column_kind(Form_pg_attribute column);

/* The type otel.trace_context; InvalidOid if the extension is not installed. */
extern Oid	capture_column_own_type(void);

/* Does a value (not NULL) hold a valid context, at the path? */
extern bool capture_column_holds(CaptureColumnKind kind, Datum value, const HeaderPath *path);

/*
 * Replaces *value by one with the context in it, in CurrentMemoryContext.  False when the value
 * must stay because it has no place for a context: text that is neither empty, nor a traceparent,
 * nor a JSON object; JSON that is not an object; a varchar that would become too long.
 */
extern bool capture_column_put(Form_pg_attribute column, CaptureColumnKind kind,
							   const struct varlena *context, const HeaderPath *path,
							   Datum *value, bool isnull);

#endif
