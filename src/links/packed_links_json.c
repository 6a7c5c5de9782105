/*
 * packed_links_json.c: the text and binary form of otel.packed_links, which is JSON.
 *
 * It has all that a value has, so that a dump, COPY and the initial copy of a subscription carry
 * values over.  A value that is read is built as a span's is: nobody can hand the exporter bytes of
 * his own.
 */
#include "postgres.h"

#include "common/string.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "compat.h"
#include "links/packed_links.h"

/* ---- writing ---- */

static void
append_id(StringInfo json, const uint8 *id, Size size)
{
	char		hex[2 * W3C_TRACE_ID_SIZE];

	w3c_format_hex(id, size, hex);
	appendBinaryStringInfo(json, hex, 2 * size);
}

/* One link in the form of otel.links_json(). */
static void
append_link(StringInfo json, const PackedLink *link)
{
	appendStringInfoString(json, "{\"context\": {\"traceId\": \"");
	append_id(json, link->context->trace_id, W3C_TRACE_ID_SIZE);
	appendStringInfoString(json, "\", \"spanId\": \"");
	append_id(json, link->context->span_id, W3C_SPAN_ID_SIZE);
	appendStringInfo(json, "\", \"traceFlags\": %d", link->context->trace_flags);
	if (link->trace_state_len > 0)
	{
		char	   *trace_state = pnstrdup(link->context->trace_state, link->trace_state_len);

		appendStringInfoString(json, ", \"traceState\": ");
		escape_json(json, trace_state);
		pfree(trace_state);
	}
	appendStringInfo(json, ", \"isRemote\": %s}", link->is_local ? "false" : "true");
	if (link->attributes_size > 0)
	{
		Jsonb	   *attributes = packed_link_attributes(link);

		appendStringInfoString(json, ", \"attributes\": ");
		JsonbToCString(json, &attributes->root, link->attributes_size);
		pfree(attributes);
	}
	if (link->dropped_attributes > 0)
		appendStringInfo(json, ", \"droppedAttributesCount\": %d", link->dropped_attributes);
	appendStringInfoChar(json, '}');
}

static void
append_links(StringInfo json, Datum value)
{
	PackedLinks reader;
	PackedLink	link;
	const char *separator = "";

	appendStringInfoChar(json, '[');
	packed_links_begin(&reader, value);
	while (packed_links_next(&reader, &link))
	{
		CHECK_FOR_INTERRUPTS();
		appendStringInfoString(json, separator);
		append_link(json, &link);
		separator = ", ";
	}
	appendStringInfoChar(json, ']');
}

PG_FUNCTION_INFO_V1(otel_packed_links_out);
Datum
otel_packed_links_out(PG_FUNCTION_ARGS)
{
	StringInfoData json;

	initStringInfo(&json);
	append_links(&json, PG_GETARG_DATUM(0));
	PG_RETURN_CSTRING(json.data);
}

/* The cast to json. */
PG_FUNCTION_INFO_V1(otel_packed_links_json);
Datum
otel_packed_links_json(PG_FUNCTION_ARGS)
{
	StringInfoData json;

	initStringInfo(&json);
	append_links(&json, PG_GETARG_DATUM(0));
	PG_RETURN_TEXT_P(cstring_to_text_with_len(json.data, json.len));
}

PG_FUNCTION_INFO_V1(otel_packed_links_send);
Datum
otel_packed_links_send(PG_FUNCTION_ARGS)
{
	StringInfoData json;
	StringInfoData message;

	initStringInfo(&json);
	append_links(&json, PG_GETARG_DATUM(0));
	pq_begintypsend(&message);
	pq_sendtext(&message, json.data, json.len);
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}

/* ---- reading ---- */

/* A member of an object, if it has one of that name. */
static bool
find_member(JsonbContainer *object, const char *name, JsonbValue *value)
{
	return getKeyJsonValueFromContainer(object, name, strlen(name), value) != NULL;
}

static bool
is_object(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data);
}

/* Reads a member that is a whole number from 0 to max; 0 when there is none. */
static bool
read_count(JsonbContainer *object, const char *name, int max, int32 *count)
{
	JsonbValue	value;
	char	   *text;
	char	   *end;

	*count = 0;
	if (!find_member(object, name, &value))
		return true;
	if (value.type != jbvNumeric)
		return false;
	text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric)));
	errno = 0;
	*count = strtoint(text, &end, 10);
	return errno == 0 && *end == '\0' && *count >= 0 && *count <= max;
}

/* Reads the member "context" of a link.  NULL, or a sentence that says what is wrong. */
static const char *
read_context(JsonbContainer *object, SpanLink *link)
{
	JsonbValue	trace_id;
	JsonbValue	span_id;
	JsonbValue	state;
	JsonbValue	is_remote;
	int32		flags;
	char	   *traceparent;
	bool		has_state = find_member(object, "traceState", &state);
	W3cError	error;

	if (!find_member(object, "traceId", &trace_id) || trace_id.type != jbvString ||
		!find_member(object, "spanId", &span_id) || span_id.type != jbvString)
		return _("traceId and spanId of a context must be strings.");
	if (!read_count(object, "traceFlags", PG_UINT8_MAX, &flags))
		return _("traceFlags of a context must be a number from 0 to 255.");
	if (has_state && state.type != jbvString)
		return _("traceState of a context must be a string.");
	if (find_member(object, "isRemote", &is_remote))
	{
		if (is_remote.type != jbvBool)
			return _("isRemote of a context must be true or false.");
		link->is_local = !is_remote.val.boolean;
	}

	traceparent = psprintf("00-%.*s-%.*s-%02x", trace_id.val.string.len, trace_id.val.string.val,
						   span_id.val.string.len, span_id.val.string.val, (unsigned) flags);
	link->context = trace_context_parse(traceparent, strlen(traceparent),
										has_state ? state.val.string.val : NULL,
										has_state ? state.val.string.len : 0, &error);
	return link->context == NULL ? w3c_error_detail(error) : NULL;
}

/* The same for a whole link. */
static const char *
read_link(const JsonbValue *value, SpanLink *link)
{
	JsonbContainer *object = value->val.binary.data;
	JsonbValue	context;
	JsonbValue	attributes;

	memset(link, 0, sizeof(*link));
	if (!is_object(value) || !find_member(object, "context", &context) || !is_object(&context))
		return _("A link must be an object with a context, which is an object.");
	if (!read_count(object, "droppedAttributesCount", PG_INT32_MAX, &link->dropped_attributes))
		return _("droppedAttributesCount of a link must be a whole number that is not negative.");
	if (find_member(object, "attributes", &attributes))
	{
		if (!is_object(&attributes))
			return _("attributes of a link must be an object.");
		link->attributes = JsonbValueToJsonb(&attributes);
	}
	return read_context(context.val.binary.data, link);
}

/* The links of a JSON array.  NULL, or a sentence that says what is wrong. */
static const char *
read_links(Jsonb *json, SpanLink **links, int *nlinks)
{
	JsonbIterator *it = JsonbIteratorInit(&json->root);
	JsonbIteratorToken token;
	JsonbValue	value;

	if (!JB_ROOT_IS_ARRAY(json) || JB_ROOT_IS_SCALAR(json))
		return _("It must be a JSON array of links.");
	*links = MemoryContextAllocHuge(CurrentMemoryContext,
									Max(JB_ROOT_COUNT(json), 1) * sizeof(SpanLink));
	*nlinks = 0;
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		const char *problem;

		CHECK_FOR_INTERRUPTS();
		if (token != WJB_ELEM)
			continue;
		problem = read_link(&value, &(*links)[*nlinks]);
		if (problem != NULL)
			return problem;
		(*nlinks)++;
	}
	return NULL;
}

/* The value that is written like this.  NULL after a soft error. */
static struct varlena *
parse_links(char *text, Node *escontext)
{
	Datum		json;
	SpanLink   *links = NULL;
	int			nlinks = 0;
	const char *problem;

	if (!DirectInputFunctionCallSafe(jsonb_in, text, InvalidOid, -1, escontext, &json))
		return NULL;
	problem = read_links(DatumGetJsonbP(json), &links, &nlinks);
	if (problem != NULL)
		ereturn(escontext, NULL,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type %s: \"%s\"",
						"otel.packed_links", trace_context_clip(text, strlen(text))),
				 errdetail_internal("%s", problem)));
	return packed_links_build(links, nlinks);
}

PG_FUNCTION_INFO_V1(otel_packed_links_in);
Datum
otel_packed_links_in(PG_FUNCTION_ARGS)
{
	struct varlena *links = parse_links(PG_GETARG_CSTRING(0), fcinfo->context);

	if (links == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(links);
}

PG_FUNCTION_INFO_V1(otel_packed_links_recv);
Datum
otel_packed_links_recv(PG_FUNCTION_ARGS)
{
	StringInfo	message = (StringInfo) PG_GETARG_POINTER(0);
	int			len;
	char	   *text = pq_getmsgtext(message, message->len - message->cursor, &len);

	PG_RETURN_POINTER(parse_links(text, NULL));
}
