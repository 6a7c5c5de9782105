/*
 * carrier.c: trace contexts from headers, ids and carriers, and back into carriers.
 *
 * A carrier is a JSON object of header names and values, as HTTP servers and queue libraries keep them.
 * The from_* functions and extract() are lenient: what they cannot use becomes NULL, and a tracestate
 * that they cannot use is left out.  The cast from jsonb is strict: it raises and says why.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "spans/attribute_limits.h"
#include "context/carrier.h"
#include "compat.h"
#include "context/trace_context.h"

#define TRACEPARENT "traceparent"
#define TRACESTATE "tracestate"

/* A header as a carrier holds it. */
typedef struct CarrierHeader
{
	int			names;			/* how many spellings of its name there are */
	const char *value;			/* NULL when there is none that can be used; not NUL-terminated */
	Size		len;
	const char *problem;		/* a sentence when something is there that cannot be used, else NULL */
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

/* The first token of an array's iterator that is past its beginning. */
static JsonbIteratorToken
first_element(const JsonbValue *array, JsonbIterator **it, JsonbValue *element)
{
	*it = JsonbIteratorInit(array->val.binary.data);
	(void) JsonbIteratorNext(it, element, true);
	return JsonbIteratorNext(it, element, true);
}

/* A string, or an array of one string: several traceparents cannot be told apart. */
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

/* A string, or an array of strings, which make one list (RFC 9110, section 5.2); JSON null is none. */
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

/* Two spellings of one name: which was meant, or came first, a jsonb object no longer knows. */
static void
reject_second_spelling(CarrierHeader *header, const char *problem)
{
	if (header->names > 1)
	{
		header->value = NULL;
		header->problem = problem;
	}
}

/* The headers of a carrier; strings point into it. */
static void
read_carrier(Jsonb *carrier, CarrierHeaders *headers)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	item;

	memset(headers, 0, sizeof(*headers));
	if (!JB_ROOT_IS_OBJECT(carrier))
	{
		headers->traceparent.problem = "A carrier must be a JSON object.";
		return;
	}

	it = JsonbIteratorInit(&carrier->root);
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		CarrierHeader *header = NULL;

		if (token != WJB_KEY)
			continue;
		if (is_name(&item, TRACEPARENT))
			header = &headers->traceparent;
		else if (is_name(&item, TRACESTATE))
			header = &headers->tracestate;

		(void) JsonbIteratorNext(&it, &item, true);
		if (header == NULL)
			continue;
		header->names++;
		if (header == &headers->traceparent)
			read_traceparent(header, &item);
		else
			read_tracestate(header, &item);
	}
	if (headers->traceparent.names == 0)
		headers->traceparent.problem = "The carrier has no traceparent.";
	reject_second_spelling(&headers->traceparent, "The carrier has more than one traceparent.");
	reject_second_spelling(&headers->tracestate, "The carrier has more than one spelling of tracestate.");
}

struct varlena *
carrier_extract(Jsonb *carrier)
{
	CarrierHeaders headers;

	read_carrier(carrier, &headers);
	if (headers.traceparent.value == NULL)
		return NULL;
	return trace_context_from_headers(headers.traceparent.value, headers.traceparent.len,
									  headers.tracestate.value, headers.tracestate.len);
}

PG_FUNCTION_INFO_V1(otel_extract);
Datum
otel_extract(PG_FUNCTION_ARGS)
{
	struct varlena *result = carrier_extract(PG_GETARG_JSONB_P(0));

	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(result);
}

/* The cast from jsonb. */
PG_FUNCTION_INFO_V1(otel_trace_context_from_jsonb);
Datum
otel_trace_context_from_jsonb(PG_FUNCTION_ARGS)
{
	CarrierHeaders headers;
	struct varlena *result;
	W3cError	error;

	read_carrier(PG_GETARG_JSONB_P(0), &headers);
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

/* The carrier of a context, of an empty object when it is NULL. */
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
		/* jsonb wants its keys in order, the shorter first */
		if (TRACE_STATE_LEN(value) > 0)
			set_pair(&pairs[object.val.object.nPairs++], TRACESTATE,
					 TRACE_CONTEXT(value)->trace_state, TRACE_STATE_LEN(value));
		trace_context_propagated(TRACE_CONTEXT(value), traceparent);
		set_pair(&pairs[object.val.object.nPairs++], TRACEPARENT, traceparent, W3C_TRACEPARENT_LEN);
	}
	return JsonbValueToJsonb(&object);
}

/* In any of their 3,072 spellings. */
static bool
is_no_header(JsonbValue *key, void *arg)
{
	return !is_name(key, TRACEPARENT) && !is_name(key, TRACESTATE);
}

Jsonb *
carrier_merge(Jsonb *object, const struct varlena *context)
{
	Jsonb	   *carrier = make_carrier(context);

	if (object == NULL)
		return carrier;
	object = attributes_filter(object, is_no_header, NULL);
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(object), JsonbPGetDatum(carrier)));
}

PG_FUNCTION_INFO_V1(otel_inject);
Datum
otel_inject(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(make_carrier(PG_ARGISNULL(0) ? NULL : PG_GETARG_TRACE_CONTEXT_PP(0)));
}

/* The cast to jsonb: inject(), but that NULL stays NULL. */
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
	struct varlena *result;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	traceparent = PG_GETARG_TEXT_PP(0);
	tracestate = PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1);
	result = trace_context_from_headers(VARDATA_ANY(traceparent), VARSIZE_ANY_EXHDR(traceparent),
										tracestate ? VARDATA_ANY(tracestate) : NULL,
										tracestate ? VARSIZE_ANY_EXHDR(tracestate) : 0);
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(result);
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
	/* flags that nobody kept are flags that nobody set */
	flags = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT32(2);
	if (!read_id(PG_GETARG_TEXT_PP(0), tp.trace_id, W3C_TRACE_ID_SIZE) ||
		!read_id(PG_GETARG_TEXT_PP(1), tp.span_id, W3C_SPAN_ID_SIZE) ||
		flags < 0 || flags > PG_UINT8_MAX)
		PG_RETURN_NULL();
	tp.trace_flags = (uint8) flags;
	trace_state = PG_ARGISNULL(3) ? NULL : PG_GETARG_TEXT_PP(3);

	/* by way of the header, so that there is one reader of a tracestate */
	w3c_format_traceparent(&tp, traceparent);
	PG_RETURN_POINTER(trace_context_from_headers(traceparent, W3C_TRACEPARENT_LEN,
												 trace_state ? VARDATA_ANY(trace_state) : NULL,
												 trace_state ? VARSIZE_ANY_EXHDR(trace_state) : 0));
}
