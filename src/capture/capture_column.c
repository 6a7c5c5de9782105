/*
 * capture_column.c: which columns can take a context, and how one is put into each.
 */
#include "postgres.h"

#include <ctype.h>

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/syscache.h"

#include "capture/capture_column.h"
#include "context/carrier.h"
#include "context/trace_context.h"

Oid
capture_column_own_type(void)
{
	Oid			schema = get_namespace_oid("otel", true);

	if (!OidIsValid(schema))
		return InvalidOid;
	return GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
						   CStringGetDatum("trace_context"), ObjectIdGetDatum(schema));
}

CaptureColumnKind
capture_column_kind(Form_pg_attribute column)
{
	if (column->attgenerated)
		return CAPTURE_COLUMN_NONE;
	switch (column->atttypid)
	{
		case TEXTOID:
			return CAPTURE_COLUMN_TEXT;
		case JSONOID:
			return CAPTURE_COLUMN_JSON;
		case JSONBOID:
			return CAPTURE_COLUMN_JSONB;
		case VARCHAROID:
			if (column->atttypmod >= 0 && column->atttypmod - VARHDRSZ < W3C_TRACEPARENT_LEN)
				return CAPTURE_COLUMN_NONE;
			return CAPTURE_COLUMN_TEXT;
		default:
			return column->atttypid == capture_column_own_type() ?
				CAPTURE_COLUMN_TRACE_CONTEXT : CAPTURE_COLUMN_NONE;
	}
}

bool
capture_column_holds(CaptureColumnKind kind, Datum value, const HeaderPath *path)
{
	JsonbContainer *carrier;
	text	   *string;

	switch (kind)
	{
		case CAPTURE_COLUMN_NONE:
			return false;
		case CAPTURE_COLUMN_TRACE_CONTEXT:
			return true;
		case CAPTURE_COLUMN_TEXT:
		case CAPTURE_COLUMN_JSON:
			string = DatumGetTextPP(value);
			return carrier_text_extract(VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string),
										path) != NULL;
		case CAPTURE_COLUMN_JSONB:
			carrier = carrier_find(&DatumGetJsonbP(value)->root, path);
			return carrier != NULL && carrier_extract(carrier) != NULL;
	}
	pg_unreachable();
}

/* Is the whole text a context, so that it may be replaced? */
static bool
is_context(const text *value)
{
	return trace_context_from_text(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), NULL, 0) != NULL;
}

/*
 * Does the value fit into the column's length?  PostgreSQL does not check the lengths of what a
 * BEFORE trigger returns.
 */
static bool
fits(Form_pg_attribute column, const text *value)
{
	return column->atttypid != VARCHAROID || column->atttypmod < 0 ||
		pg_mbstrlen_with_len(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)) <=
		column->atttypmod - VARHDRSZ;
}

/* Does a text look like a JSON object?  In a column of text, "null" is not taken for JSON. */
static bool
begins_with_brace(const text *value)
{
	const char *at = VARDATA_ANY(value);
	const char *end = at + VARSIZE_ANY_EXHDR(value);

	while (at < end && isspace((unsigned char) *at))
		at++;
	return at < end && *at == '{';
}

/* The new value of a column of text or json; NULL when there is no place for the context. */
static text *
put_into_text(CaptureColumnKind kind, const struct varlena *context, const HeaderPath *path,
			  const text *old)
{
	bool		is_text = kind == CAPTURE_COLUMN_TEXT;
	bool		is_empty = old == NULL || VARSIZE_ANY_EXHDR(old) == 0;

	if (is_text && path->depth == 0 && (is_empty || is_context(old)))
		return trace_context_traceparent(context);
	if (is_empty)
		return carrier_text_put("{}", 2, path, context);
	if (is_text && !begins_with_brace(old))
		return NULL;
	return carrier_text_put(VARDATA_ANY(old), VARSIZE_ANY_EXHDR(old), path, context);
}

bool
capture_column_put(Form_pg_attribute column, CaptureColumnKind kind,
				   const struct varlena *context, const HeaderPath *path,
				   Datum *value, bool isnull)
{
	text	   *string;
	Jsonb	   *document;

	switch (kind)
	{
		case CAPTURE_COLUMN_NONE:
			return false;
		case CAPTURE_COLUMN_TRACE_CONTEXT:
			*value = PointerGetDatum(context);
			return true;
		case CAPTURE_COLUMN_TEXT:
		case CAPTURE_COLUMN_JSON:
			string = put_into_text(kind, context, path, isnull ? NULL : DatumGetTextPP(*value));
			if (string == NULL || !fits(column, string))
				return false;
			*value = PointerGetDatum(string);
			return true;
		case CAPTURE_COLUMN_JSONB:
			document = carrier_put(isnull ? NULL : DatumGetJsonbP(*value), path, context);
			if (document == NULL)
				return false;
			*value = JsonbPGetDatum(document);
			return true;
	}
	pg_unreachable();
}
