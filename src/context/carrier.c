/*
 * carrier.c: trace contexts from headers, ids and jsonb carriers, and back into carriers.
 *
 * A carrier is a JSON object of header names and values, as HTTP servers and queue libraries store
 * them; carrier_text.c handles carriers that are stored as text.  The from_* functions and
 * extract() are lenient: they return NULL for what they cannot use, and leave out a tracestate that
 * they cannot use.  The cast from jsonb is strict: it raises an error that says why.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "compat.h"
#include "context/carrier.h"
#include "context/trace_context.h"
#include "jsonb_util.h"

#define TRACEPARENT "traceparent"
#define TRACESTATE "tracestate"

/* This much of the maximum size of a jsonb object is left free, for the keys of a path. */
#define ROOM_FOR_KEYS (1024 * 1024)

/* PostgreSQL's functions cannot add a key to an object that has 8,388,608. */
#define MAX_KEYS 8000000

/* A header in a carrier. */
typedef struct CarrierHeader
{
	int			names;			/* how many spellings of its name there are */
	const char *value;			/* NULL when there is none that can be used; not NUL-terminated */
	Size		len;
	const char *problem;		/* a sentence, when the header cannot be used, else NULL */
} CarrierHeader;

typedef struct CarrierHeaders
{
	CarrierHeader traceparent;
	CarrierHeader tracestate;
} CarrierHeaders;

/* Header names are matched without regard to case (sections 3.2.1 and 3.3.1). */
static bool
is_name(const JsonbValue *key, const char *name)
{
	return key->val.string.len == (int) strlen(name) &&
		pg_strncasecmp(key->val.string.val, name, key->val.string.len) == 0;
}

static void
set_value(CarrierHeader *header, const JsonbValue *string)
{
	header->value = string->val.string.val;
	header->len = string->val.string.len;
}

/* Iterates to the first element of an array, and returns its token. */
static JsonbIteratorToken
first_element(const JsonbValue *array, JsonbIterator **it, JsonbValue *element)
{
	*it = JsonbIteratorInit(array->val.binary.data);
	(void) JsonbIteratorNext(it, element, true);
	return JsonbIteratorNext(it, element, true);
}

/* A string, or an array of one string.  With several, nobody knows which one is right. */
static void
read_traceparent(CarrierHeader *header, const JsonbValue *value)
{
	header->problem = "The traceparent must be a string or an array of one string.";
	if (value->type == jbvString)
	{
		set_value(header, value);
		header->problem = NULL;
	}
	else if (value->type == jbvBinary && JsonContainerIsArray(value->val.binary.data) &&
			 JsonContainerSize(value->val.binary.data) == 1)
	{
		JsonbIterator *it;
		JsonbValue	element;

		if (first_element(value, &it, &element) == WJB_ELEM && element.type == jbvString)
		{
			set_value(header, &element);
			header->problem = NULL;
		}
	}
}

/*
 * A string, or an array of strings, which form one list (RFC 9110, section 5.2).  JSON null means
 * that there is none.
 */
static void
read_tracestate(CarrierHeader *header, const JsonbValue *value)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	element;
	StringInfoData joined;

	if (value->type == jbvNull)
		return;
	if (value->type == jbvString)
	{
		set_value(header, value);
		return;
	}
	header->problem = "The tracestate must be a string or an array of strings.";
	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		return;

	initStringInfo(&joined);
	for (token = first_element(value, &it, &element); token == WJB_ELEM;
		 token = JsonbIteratorNext(&it, &element, true))
	{
		if (element.type != jbvString)
			return;
		appendBinaryStringInfo(&joined, element.val.string.val, element.val.string.len);
		appendStringInfoChar(&joined, ',');
	}
	header->value = joined.data;
	header->len = joined.len;
	header->problem = NULL;
}

/* Of two spellings of a name, a jsonb object does not know which came first. */
static void
reject_second_spelling(CarrierHeader *header, const char *problem)
{
	if (header->names > 1)
	{
		header->value = NULL;
		header->problem = problem;
	}
}

/* Reads a member of a carrier, if it is one of the two headers. */
static void
read_header(CarrierHeaders *headers, const JsonbValue *key, const JsonbValue *value)
{
	if (is_name(key, TRACEPARENT))
	{
		headers->traceparent.names++;
		read_traceparent(&headers->traceparent, value);
	}
	else if (is_name(key, TRACESTATE))
	{
		headers->tracestate.names++;
		read_tracestate(&headers->tracestate, value);
	}
}

static void
read_object(JsonbContainer *object, CarrierHeaders *headers)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		read_header(headers, &key, &value);
	}
}

/* A list of pairs, [["traceparent", "..."], ...]; elements that are not pairs are skipped. */
static void
read_pairs(JsonbContainer *array, CarrierHeaders *headers)
{
	for (uint32 i = 0; i < JsonContainerSize(array); i++)
	{
		JsonbValue *pair = getIthJsonbValueFromContainer(array, i);
		JsonbValue *key;

		if (pair->type != jbvBinary || !JsonContainerIsArray(pair->val.binary.data) ||
			JsonContainerSize(pair->val.binary.data) != 2)
			continue;
		key = getIthJsonbValueFromContainer(pair->val.binary.data, 0);
		if (key->type == jbvString)
			read_header(headers, key, getIthJsonbValueFromContainer(pair->val.binary.data, 1));
	}
}

/* Checks the headers after the last one was read. */
static void
finish_headers(CarrierHeaders *headers)
{
	if (headers->traceparent.names == 0)
		headers->traceparent.problem = "The carrier has no traceparent.";
	reject_second_spelling(&headers->traceparent, "The carrier has more than one traceparent.");
	reject_second_spelling(&headers->tracestate,
						   "The carrier has more than one spelling of tracestate.");
}

/* The headers of a carrier.  Strings point into it or are in CurrentMemoryContext. */
static void
read_carrier(JsonbContainer *carrier, CarrierHeaders *headers)
{
	memset(headers, 0, sizeof(*headers));
	if (!JsonContainerIsObject(carrier))
	{
		headers->traceparent.problem = "A carrier must be a JSON object.";
		return;
	}
	read_object(carrier, headers);
	finish_headers(headers);
}

struct varlena *
carrier_extract(JsonbContainer *carrier)
{
	CarrierHeaders headers;

	if (JsonContainerIsArray(carrier) && !JsonContainerIsScalar(carrier))
	{
		memset(&headers, 0, sizeof(headers));
		read_pairs(carrier, &headers);
		finish_headers(&headers);
	}
	else
		read_carrier(carrier, &headers);
	if (headers.traceparent.value == NULL)
		return NULL;
	return trace_context_from_headers(headers.traceparent.value, headers.traceparent.len,
									  headers.tracestate.value, headers.tracestate.len);
}

JsonbContainer *
carrier_find(JsonbContainer *document, const HeaderPath *path)
{
	for (int i = 0; i < path->depth; i++)
	{
		JsonbValue	key = {.type = jbvString};
		JsonbValue *value;

		if (!JsonContainerIsObject(document))
			return NULL;
		key.val.string.val = unconstify(char *, path->keys[i].start);
		key.val.string.len = path->keys[i].len;
		value = findJsonbValueFromContainer(document, JB_FOBJECT, &key);
		if (value == NULL || value->type != jbvBinary)
			return NULL;
		document = value->val.binary.data;
	}
	return document;
}

/* NULL where there is none. */
static Datum
return_context(FunctionCallInfo fcinfo, struct varlena *context)
{
	if (context == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(context);
}

PG_FUNCTION_INFO_V1(otel_extract);
Datum
otel_extract(PG_FUNCTION_ARGS)
{
	Jsonb	   *document = PG_GETARG_JSONB_P(0);
	HeaderPath	path;
	JsonbContainer *carrier;

	if (!carrier_path_read(PG_GETARG_ARRAYTYPE_P(1), &path))
		PG_RETURN_NULL();
	carrier = carrier_find(&document->root, &path);
	return return_context(fcinfo, carrier != NULL ? carrier_extract(carrier) : NULL);
}

/* The cast from jsonb. */
PG_FUNCTION_INFO_V1(otel_trace_context_from_jsonb);
Datum
otel_trace_context_from_jsonb(PG_FUNCTION_ARGS)
{
	CarrierHeaders headers;
	struct varlena *result;
	W3cError	error;

	read_carrier(&PG_GETARG_JSONB_P(0)->root, &headers);
	if (headers.traceparent.problem != NULL || headers.tracestate.problem != NULL)
		ereturn(fcinfo->context, (Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid carrier for type %s", "otel.trace_context"),
				 errdetail("%s", headers.traceparent.problem != NULL ?
						   headers.traceparent.problem : headers.tracestate.problem)));

	result = trace_context_parse(headers.traceparent.value, headers.traceparent.len,
								 headers.tracestate.value, headers.tracestate.len, &error);
	if (result == NULL)
	{
		CarrierHeader *wrong = error >= W3C_TRACESTATE_KEY ?
			&headers.tracestate : &headers.traceparent;

		ereturn(fcinfo->context, (Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid %s in carrier for type %s: \"%s\"",
						wrong == &headers.tracestate ? TRACESTATE : TRACEPARENT,
						"otel.trace_context", trace_context_clip(wrong->value, wrong->len)),
				 errdetail("%s", w3c_error_detail(error))));
	}
	PG_RETURN_POINTER(result);
}

static void
set_pair(JsonbPair *pair, const char *name, const char *value, Size len)
{
	pair->key.type = jbvString;
	pair->key.val.string.val = unconstify(char *, name);
	pair->key.val.string.len = strlen(name);
	pair->value.type = jbvString;
	pair->value.val.string.val = unconstify(char *, value);
	pair->value.val.string.len = len;
	pair->order = 0;
}

/* A carrier with a context; an empty object if that is NULL. */
static Jsonb *
make_carrier(const struct varlena *value)
{
	JsonbPair	pairs[2];
	char		traceparent[W3C_TRACEPARENT_LEN];
	JsonbValue	object;

	memset(pairs, 0, sizeof(pairs));
	object.type = jbvObject;
	object.val.object.pairs = pairs;
	object.val.object.nPairs = 0;
	if (value != NULL)
	{
		/* jsonb needs its keys in order, the shorter first */
		if (TRACE_STATE_LEN(value) > 0)
			set_pair(&pairs[object.val.object.nPairs++], TRACESTATE,
					 TRACE_CONTEXT(value)->trace_state, TRACE_STATE_LEN(value));
		trace_context_propagated(TRACE_CONTEXT(value), traceparent);
		set_pair(&pairs[object.val.object.nPairs++], TRACEPARENT, traceparent, W3C_TRACEPARENT_LEN);
	}
	return JsonbValueToJsonb(&object);
}

/* A header may have any of its spellings, which are 3,072 for both. */
static bool
is_no_header(JsonbValue *key, void *arg)
{
	return !is_name(key, TRACEPARENT) && !is_name(key, TRACESTATE);
}

/* An object (NULL: an empty one) whose headers are replaced by those of a context. */
static Jsonb *
merge_headers(Jsonb *object, Jsonb *headers)
{
	if (object == NULL)
		return headers;
	object = jsonb_filter_keys(object, is_no_header, NULL);
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(object),
											  JsonbPGetDatum(headers)));
}

/* An object (NULL: an empty one) with this value under a key. */
static Jsonb *
put_member(Jsonb *object, const JsonSlice *key, Jsonb *value)
{
	Datum		name = PointerGetDatum(cstring_to_text_with_len(key->start, (int) key->len));
	ArrayType  *path = construct_array(&name, 1, TEXTOID, -1, false, TYPALIGN_INT);

	if (object == NULL)
		object = make_carrier(NULL);
	return DatumGetJsonbP(DirectFunctionCall4(jsonb_set, JsonbPGetDatum(object),
											  PointerGetDatum(path), JsonbPGetDatum(value),
											  BoolGetDatum(true)));
}

/* Is it NULL or JSON null? */
static bool
is_nothing(const Jsonb *document)
{
	JsonbValue	scalar;

	return document == NULL ||
		(JB_ROOT_IS_SCALAR(document) &&
		 JsonbExtractScalar(&unconstify(Jsonb *, document)->root, &scalar) &&
		 scalar.type == jbvNull);
}

Jsonb *
carrier_put(Jsonb *document, const HeaderPath *path, const struct varlena *context)
{
	Jsonb	  **objects = palloc0(sizeof(Jsonb *) * (path->depth + 1));
	Jsonb	   *headers = make_carrier(context);
	Jsonb	   *result;

	/* do not change an object that the headers would make too large */
	if (document != NULL &&
		VARSIZE(document) + VARSIZE(headers) > JENTRY_OFFLENMASK - ROOM_FOR_KEYS)
		return NULL;
	for (int i = 0; i <= path->depth; i++)
	{
		JsonbValue *child;

		if (is_nothing(document))
			break;
		if (!JB_ROOT_IS_OBJECT(document) || JB_ROOT_COUNT(document) > MAX_KEYS)
			return NULL;
		objects[i] = document;
		if (i == path->depth)
			break;
		child = getKeyJsonValueFromContainer(&document->root, path->keys[i].start,
											 path->keys[i].len, NULL);
		document = child != NULL ? JsonbValueToJsonb(child) : NULL;
	}

	result = merge_headers(objects[path->depth], headers);
	for (int i = path->depth - 1; i >= 0; i--)
		result = put_member(objects[i], &path->keys[i], result);
	return result;
}

PG_FUNCTION_INFO_V1(otel_inject);
Datum
otel_inject(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(make_carrier(PG_ARGISNULL(0) ? NULL : PG_GETARG_TRACE_CONTEXT_PP(0)));
}

/* The cast to jsonb: like inject(), but strict. */
PG_FUNCTION_INFO_V1(otel_trace_context_to_jsonb);
Datum
otel_trace_context_to_jsonb(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(make_carrier(PG_GETARG_TRACE_CONTEXT_PP(0)));
}

PG_FUNCTION_INFO_V1(otel_from_traceparent);
Datum
otel_from_traceparent(PG_FUNCTION_ARGS)
{
	text	   *traceparent;
	text	   *tracestate;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	traceparent = PG_GETARG_TEXT_PP(0);
	tracestate = PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1);
	return return_context(fcinfo,
						  trace_context_from_text(VARDATA_ANY(traceparent),
												  VARSIZE_ANY_EXHDR(traceparent),
												  tracestate ? VARDATA_ANY(tracestate) : NULL,
												  tracestate ? VARSIZE_ANY_EXHDR(tracestate) : 0));
}

/* Reads an id that is not all zero, of exactly its length. */
static bool
read_id(const text *id, uint8 *out, Size size)
{
	return VARSIZE_ANY_EXHDR(id) == 2 * size &&
		w3c_parse_hex(VARDATA_ANY(id), size, out) &&
		!w3c_is_zero(out, size);
}

PG_FUNCTION_INFO_V1(otel_from_ids);
Datum
otel_from_ids(PG_FUNCTION_ARGS)
{
	W3cTraceparent tp;
	char		traceparent[W3C_TRACEPARENT_LEN];
	text	   *trace_state;
	int32		flags;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	/* without flags, none is set */
	flags = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT32(2);
	if (!read_id(PG_GETARG_TEXT_PP(0), tp.trace_id, W3C_TRACE_ID_SIZE) ||
		!read_id(PG_GETARG_TEXT_PP(1), tp.span_id, W3C_SPAN_ID_SIZE) ||
		flags < 0 || flags > PG_UINT8_MAX)
		PG_RETURN_NULL();
	tp.trace_flags = (uint8) flags;
	trace_state = PG_ARGISNULL(3) ? NULL : PG_GETARG_TEXT_PP(3);

	/* via a header, so that a tracestate is read in one place only */
	w3c_format_traceparent(&tp, traceparent);
	PG_RETURN_POINTER(trace_context_from_headers(traceparent, W3C_TRACEPARENT_LEN,
												 trace_state ? VARDATA_ANY(trace_state) : NULL,
												 trace_state ? VARSIZE_ANY_EXHDR(trace_state) : 0));
}
