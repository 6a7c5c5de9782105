/*
 * explain_context.c: otel.trace_context_sources(), which says why the current context is what it
 * is.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "capture/context_source.h"
#include "settings.h"

/* Show at most this many bytes of what a source holds; a message may have megabytes. */
#define MAX_SHOWN 1000

typedef enum SourceColumn
{
	COLUMN_SOURCE,
	COLUMN_VALUE,
	COLUMN_CONTEXT,
	COLUMN_ANSWERS,
	COLUMN_REASON,
	COLUMN_COUNT
} SourceColumn;

static void
set_text(Datum *values, bool *nulls, SourceColumn column, const char *text)
{
	int			len;

	nulls[column] = text == NULL || *text == '\0';
	if (nulls[column])
		return;
	len = pg_mbcliplen(text, strlen(text), MAX_SHOWN);
	values[column] = PointerGetDatum(cstring_to_text_with_len(text, len));
}

/* Why a source is not asked; NULL if it is. */
static const char *
turned_off(ContextSource source)
{
	if (!otel_propagate)
		return "turned off: otel.propagators does not include tracecontext";
	if (source != CONTEXT_FROM_SPAN && !context_source_is_used(source))
		return "turned off: not in otel.context_sources";
	return NULL;
}

PG_FUNCTION_INFO_V1(otel_trace_context_sources);
Datum
otel_trace_context_sources(PG_FUNCTION_ARGS)
{
	CaptureSituation situation = capture_situation();
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		answered = false;

	InitMaterializedSRF(fcinfo, 0);
	for (ContextSource source = CONTEXT_FROM_SPAN; source < CONTEXT_SOURCE_COUNT; source++)
	{
		Datum		values[COLUMN_COUNT] = {0};
		bool		nulls[COLUMN_COUNT] = {false};
		char	   *why = NULL;
		const struct varlena *context = context_source_read(source, &situation, &why);
		const char *off = turned_off(source);
		bool		answers = context != NULL && off == NULL && !answered;

		set_text(values, nulls, COLUMN_SOURCE, context_source_names[source]);
		set_text(values, nulls, COLUMN_VALUE, context_source_text(source, &situation));
		nulls[COLUMN_CONTEXT] = context == NULL;
		values[COLUMN_CONTEXT] = PointerGetDatum(context);
		values[COLUMN_ANSWERS] = BoolGetDatum(answers);
		if (off == NULL)
			off = context == NULL ? why : answers ? NULL : "a source above it answers";
		set_text(values, nulls, COLUMN_REASON, off);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		answered |= answers;
	}
	return (Datum) 0;
}
