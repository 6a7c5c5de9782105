/*
 * carrier_text.c: reads trace contexts from text and json columns, and puts them into such JSON.
 *
 * header_text.c and json_text.c handle the bytes; this file has the SQL functions and allocates
 * memory.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "context/carrier.h"
#include "context/trace_context.h"

bool
carrier_path_read(ArrayType *array, HeaderPath *path)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	JsonSlice  *keys;
	JsonSlice  *quoted;

	/* the usual case: no path */
	path->depth = 0;
	if (ARR_NDIM(array) == 0)
		return true;
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	keys = palloc(sizeof(JsonSlice) * count);
	quoted = palloc(sizeof(JsonSlice) * count);
	for (int i = 0; i < count; i++)
	{
		StringInfoData json;

		if (nulls[i])
			return false;
		initStringInfo(&json);
		keys[i].start = VARDATA_ANY(DatumGetPointer(elements[i]));
		keys[i].len = VARSIZE_ANY_EXHDR(DatumGetPointer(elements[i]));
		escape_json(&json, pnstrdup(keys[i].start, keys[i].len));
		quoted[i].start = json.data;
		quoted[i].len = json.len;
	}
	path->depth = count;
	path->keys = keys;
	path->quoted = quoted;
	return true;
}

static struct varlena *
context_of(const HeaderPair *headers)
{
	if (headers->traceparent.start == NULL)
		return NULL;
	return trace_context_from_headers(headers->traceparent.start, headers->traceparent.len,
									  headers->tracestate.start, headers->tracestate.len);
}

struct varlena *
carrier_text_extract(const char *value, Size len, const HeaderPath *path)
{
	struct varlena *result;
	HeaderPair	headers;
	JsonSlice	json;
	char	   *room;

	if (path->depth == 0)
	{
		result = trace_context_from_text(value, len, NULL, 0);
		if (result != NULL)
			return result;
	}
	room = palloc(len + 1);
	if (json_text_read(value, len, &json))
	{
		memset(&headers, 0, sizeof(headers));
		if (header_text_find(json, path, &json))
			header_text_read_json(json, room, &headers);
		result = context_of(&headers);
	}
	else if (path->depth == 0)
	{
		header_text_read_properties(value, len, room, &headers);
		result = context_of(&headers);
	}
	else
		result = NULL;
	pfree(room);
	return result;
}

/* A context's headers as members of a JSON object, without its braces. */
static void
write_headers(StringInfo members, const struct varlena *context)
{
	char		traceparent[W3C_TRACEPARENT_LEN];

	trace_context_propagated(TRACE_CONTEXT(context), traceparent);
	initStringInfo(members);
	appendStringInfo(members, "\"traceparent\":\"%.*s\"", W3C_TRACEPARENT_LEN, traceparent);
	if (TRACE_STATE_LEN(context) > 0)
	{
		appendStringInfoString(members, ",\"tracestate\":");
		escape_json(members, pnstrdup(TRACE_CONTEXT(context)->trace_state,
									  TRACE_STATE_LEN(context)));
	}
}

text *
carrier_text_put(const char *value, Size len, const HeaderPath *path,
				 const struct varlena *context)
{
	StringInfoData headers;
	JsonSlice	members;
	JsonSlice	json;
	Size		before;
	Size		after;
	Size		size;
	Size		written;
	text	   *result;

	if (!json_text_read(value, len, &json))
		return NULL;
	write_headers(&headers, context);
	members.start = headers.data;
	members.len = headers.len;
	/* white space around the value stays as well */
	before = json.start - value;
	after = len - before - json.len;
	size = VARHDRSZ + before + after + header_text_put_size(json, path, members);
	if (!AllocSizeIsValid(size))
		return NULL;

	result = palloc(size);
	written = header_text_put(json, path, members, VARDATA(result) + before);
	if (written == 0)
		return NULL;
	memcpy(VARDATA(result), value, before);
	memcpy(VARDATA(result) + before + written, value + len - after, after);
	SET_VARSIZE(result, VARHDRSZ + before + written + after);
	return result;
}

/* For text as well as for json, which is stored as text. */
PG_FUNCTION_INFO_V1(otel_extract_text);
Datum
otel_extract_text(PG_FUNCTION_ARGS)
{
	text	   *carrier = PG_GETARG_TEXT_PP(0);
	HeaderPath	path;
	struct varlena *result = NULL;

	if (carrier_path_read(PG_GETARG_ARRAYTYPE_P(1), &path))
		result = carrier_text_extract(VARDATA_ANY(carrier), VARSIZE_ANY_EXHDR(carrier), &path);
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(result);
}
