/*
 * trace_context.c: the type otel.trace_context.
 *
 * Owns the stored form, text and binary input and output, the order that all operators, indexes and
 * hashes use, and the accessors.  w3c.c decides whether a header is valid; casts and functions that
 * read headers, carriers and separate ids are in carrier.c.
 *
 * The text form is the traceparent (always written as version 00) and, if there is a tracestate,
 * ";" and the tracestate.  The binary form is the stored one: flags (1 byte), trace id (16), span
 * id (8), tracestate (the rest).  pg_upgrade keeps stored values as they are, so this layout can
 * never change.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "lib/hyperloglog.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/sortsupport.h"

#include "compat.h"
#include "context/trace_context.h"

/* A traceparent and some of the tracestate: enough to find the value, too little to flood a log. */
#define CLIP_LEN 80

/*
 * The structs of trace_context.h and w3c.h have the same 25 bytes, so one can be copied to the
 * other.
 */
StaticAssertDecl(sizeof(W3cTraceparent) == TRACE_CONTEXT_SIZE,
				 "W3cTraceparent is the fixed part of a TraceContext");

/* State of a sort with abbreviated keys, as for the built-in uuid. */
typedef struct AbbrevState
{
	int64		input_count;	/* values converted */
	bool		estimating;		/* false once abbreviation is known to be worth while */
	hyperLogLogState abbr_card; /* how many distinct keys there are */
} AbbrevState;

static int	sort_compare(Datum x, Datum y, SortSupport ssup);
static Datum abbrev_convert(Datum original, SortSupport ssup);
static bool abbrev_abort(int memtupcount, SortSupport ssup);

/*
 * Building values
 */

/* Allocates a value with a tracestate of this length; the caller fills in the payload. */
static struct varlena *
allocate(Size trace_state_len)
{
	Size		size = VARHDRSZ + TRACE_CONTEXT_SIZE + trace_state_len;
	struct varlena *result = palloc(size);

	SET_VARSIZE(result, size);
	return result;
}

struct varlena *
trace_context_make(const W3cTraceparent *tp, const char *trace_state, Size trace_state_len)
{
	struct varlena *result = allocate(trace_state_len);

	memcpy(VARDATA(result), tp, TRACE_CONTEXT_SIZE);
	if (trace_state_len > 0)
		memcpy(VARDATA(result) + TRACE_CONTEXT_SIZE, trace_state, trace_state_len);
	return result;
}

/* Makes a value, normalising the tracestate.  NULL when that is invalid. */
static struct varlena *
make_normalized(const W3cTraceparent *tp, const char *tracestate, Size len, W3cError *error)
{
	struct varlena *result = allocate(Min(len, W3C_TRACESTATE_MAX_LEN));
	size_t		normalized_len;

	*error = w3c_normalize_tracestate(tracestate, len, VARDATA(result) + TRACE_CONTEXT_SIZE,
									  &normalized_len);
	if (*error != W3C_OK)
	{
		pfree(result);
		return NULL;
	}
	memcpy(VARDATA(result), tp, TRACE_CONTEXT_SIZE);
	SET_VARSIZE(result, VARHDRSZ + TRACE_CONTEXT_SIZE + normalized_len);
	return result;
}

struct varlena *
trace_context_parse(const char *traceparent, Size traceparent_len,
					const char *tracestate, Size tracestate_len, W3cError *error)
{
	W3cTraceparent tp;

	*error = w3c_parse_traceparent(traceparent, traceparent_len, &tp);
	if (*error != W3C_OK)
		return NULL;
	if (tracestate == NULL)
		return trace_context_make(&tp, NULL, 0);
	return make_normalized(&tp, tracestate, tracestate_len, error);
}

struct varlena *
trace_context_from_headers(const char *traceparent, Size traceparent_len,
						   const char *tracestate, Size tracestate_len)
{
	struct varlena *result = NULL;
	W3cTraceparent tp;
	W3cError	error;

	if (w3c_parse_traceparent(traceparent, traceparent_len, &tp) != W3C_OK)
		return NULL;
	if (tracestate != NULL)
		result = make_normalized(&tp, tracestate, tracestate_len, &error);
	if (result == NULL)
		result = trace_context_make(&tp, NULL, 0);
	return result;
}

struct varlena *
trace_context_from_text(const char *value, Size len, const char *tracestate, Size tracestate_len)
{
	struct varlena *result = trace_context_from_headers(value, len, tracestate, tracestate_len);
	const char *semicolon;

	if (result != NULL)
		return result;
	semicolon = memchr(value, ';', len);
	if (semicolon == NULL)
		return NULL;
	return trace_context_from_headers(value, semicolon - value,
									  semicolon + 1, value + len - (semicolon + 1));
}

char *
trace_context_clip(const char *value, Size len)
{
	if (len <= CLIP_LEN)
		return pnstrdup(value, len);
	/* to recognise a character across the limit, a few bytes after it are needed */
	len = Min(len, CLIP_LEN + MAX_MULTIBYTE_CHAR_LEN);
	return psprintf("%.*s...", pg_mbcliplen(value, (int) len, CLIP_LEN), value);
}

/*
 * Input and output
 */

PG_FUNCTION_INFO_V1(otel_trace_context_in);
Datum
otel_trace_context_in(PG_FUNCTION_ARGS)
{
	char	   *value = PG_GETARG_CSTRING(0);
	Size		len = strlen(value);
	const char *semicolon = memchr(value, ';', len);
	struct varlena *result;
	W3cError	error;

	if (semicolon == NULL)
		result = trace_context_parse(value, len, NULL, 0, &error);
	else
		result = trace_context_parse(value, semicolon - value,
									 semicolon + 1, value + len - (semicolon + 1), &error);
	if (result == NULL)
		ereturn(fcinfo->context, (Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type %s: \"%s\"",
						"otel.trace_context", trace_context_clip(value, len)),
				 errdetail("%s", w3c_error_detail(error))));
	PG_RETURN_POINTER(result);
}

PG_FUNCTION_INFO_V1(otel_trace_context_out);
Datum
otel_trace_context_out(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_TRACE_CONTEXT_PP(0);
	const TraceContext *ctx = TRACE_CONTEXT(value);
	Size		trace_state_len = TRACE_STATE_LEN(value);
	char	   *result = palloc(W3C_TRACEPARENT_LEN + 1 + trace_state_len + 1);
	char	   *end = result + W3C_TRACEPARENT_LEN;
	W3cTraceparent tp;

	memcpy(&tp, ctx, TRACE_CONTEXT_SIZE);
	w3c_format_traceparent(&tp, result);
	if (trace_state_len > 0)
	{
		*end++ = ';';
		memcpy(end, ctx->trace_state, trace_state_len);
		end += trace_state_len;
	}
	*end = '\0';
	PG_RETURN_CSTRING(result);
}

/* The binary form comes from a client, so it is checked as the text form is. */
PG_FUNCTION_INFO_V1(otel_trace_context_recv);
Datum
otel_trace_context_recv(PG_FUNCTION_ARGS)
{
	StringInfo	message = (StringInfo) PG_GETARG_POINTER(0);
	int			len = message->len - message->cursor;
	struct varlena *result = NULL;
	const char *detail;

	if (len < TRACE_CONTEXT_SIZE)
		detail = "It must have 25 bytes (flags, trace-id and parent-id), "
			"and may have a tracestate after them.";
	else
	{
		const char *payload = pq_getmsgbytes(message, len);
		W3cTraceparent tp;
		W3cError	error;

		memcpy(&tp, payload, TRACE_CONTEXT_SIZE);
		if (w3c_is_zero(tp.trace_id, W3C_TRACE_ID_SIZE))
			error = W3C_TRACEPARENT_TRACE_ID_ZERO;
		else if (w3c_is_zero(tp.span_id, W3C_SPAN_ID_SIZE))
			error = W3C_TRACEPARENT_SPAN_ID_ZERO;
		else
			result = make_normalized(&tp, payload + TRACE_CONTEXT_SIZE, len - TRACE_CONTEXT_SIZE,
									 &error);
		detail = w3c_error_detail(error);
	}
	if (result == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid binary value for type %s", "otel.trace_context"),
				 errdetail("%s", detail)));
	PG_RETURN_POINTER(result);
}

PG_FUNCTION_INFO_V1(otel_trace_context_send);
Datum
otel_trace_context_send(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_TRACE_CONTEXT_PP(0);
	StringInfoData message;

	pq_begintypsend(&message);
	pq_sendbytes(&message, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}

/*
 * Order and hashing
 */

int
trace_context_compare(const struct varlena *a, const struct varlena *b)
{
	const TraceContext *x = TRACE_CONTEXT(a);
	const TraceContext *y = TRACE_CONTEXT(b);
	Size		x_len = TRACE_STATE_LEN(a);
	Size		y_len = TRACE_STATE_LEN(b);
	int			result;

	/* both ids at once: the span id follows the trace id */
	result = memcmp(x->trace_id, y->trace_id, W3C_TRACE_ID_SIZE + W3C_SPAN_ID_SIZE);
	if (result == 0)
		result = (int) x->trace_flags - (int) y->trace_flags;
	if (result == 0)
		result = memcmp(x->trace_state, y->trace_state, Min(x_len, y_len));
	if (result == 0)
		result = (x_len > y_len) - (x_len < y_len);
	return result;
}

uint32
trace_context_hash_value(const struct varlena *v)
{
	return DatumGetUInt32(hash_any((const unsigned char *) VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v)));
}

/* Compares a function's two arguments; frees detoasted copies, because a btree must not leak. */
static int
compare_arguments(FunctionCallInfo fcinfo)
{
	struct varlena *a = PG_GETARG_TRACE_CONTEXT_PP(0);
	struct varlena *b = PG_GETARG_TRACE_CONTEXT_PP(1);
	int			result = trace_context_compare(a, b);

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return result;
}

/* Values of different lengths are unequal, which shows without detoasting them. */
static bool
arguments_are_equal(FunctionCallInfo fcinfo)
{
	return toast_raw_datum_size(PG_GETARG_DATUM(0)) == toast_raw_datum_size(PG_GETARG_DATUM(1)) &&
		compare_arguments(fcinfo) == 0;
}

PG_FUNCTION_INFO_V1(otel_trace_context_lt);
Datum
otel_trace_context_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) < 0);
}

PG_FUNCTION_INFO_V1(otel_trace_context_le);
Datum
otel_trace_context_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) <= 0);
}

PG_FUNCTION_INFO_V1(otel_trace_context_eq);
Datum
otel_trace_context_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(arguments_are_equal(fcinfo));
}

PG_FUNCTION_INFO_V1(otel_trace_context_ne);
Datum
otel_trace_context_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!arguments_are_equal(fcinfo));
}

PG_FUNCTION_INFO_V1(otel_trace_context_ge);
Datum
otel_trace_context_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) >= 0);
}

PG_FUNCTION_INFO_V1(otel_trace_context_gt);
Datum
otel_trace_context_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) > 0);
}

PG_FUNCTION_INFO_V1(otel_trace_context_cmp);
Datum
otel_trace_context_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare_arguments(fcinfo));
}

PG_FUNCTION_INFO_V1(otel_trace_context_hash);
Datum
otel_trace_context_hash(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_TRACE_CONTEXT_PP(0);
	uint32		result = trace_context_hash_value(value);

	PG_FREE_IF_COPY(value, 0);
	PG_RETURN_UINT32(result);
}

PG_FUNCTION_INFO_V1(otel_trace_context_hash_extended);
Datum
otel_trace_context_hash_extended(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_TRACE_CONTEXT_PP(0);
	Datum		result = hash_any_extended((unsigned char *) VARDATA_ANY(value),
										   VARSIZE_ANY_EXHDR(value), PG_GETARG_INT64(1));

	PG_FREE_IF_COPY(value, 0);
	return result;
}

/*
 * Sort support: the abbreviated key is the beginning of the trace id, which is different for nearly
 * all traces.
 */

PG_FUNCTION_INFO_V1(otel_trace_context_sortsupport);
Datum
otel_trace_context_sortsupport(PG_FUNCTION_ARGS)
{
	SortSupport ssup = (SortSupport) PG_GETARG_POINTER(0);

	ssup->comparator = sort_compare;
	ssup->ssup_extra = NULL;
	if (ssup->abbreviate)
	{
		AbbrevState *state = MemoryContextAlloc(ssup->ssup_cxt, sizeof(AbbrevState));
		MemoryContext old_context = MemoryContextSwitchTo(ssup->ssup_cxt);

		state->input_count = 0;
		state->estimating = true;
		initHyperLogLog(&state->abbr_card, 10);
		MemoryContextSwitchTo(old_context);

		ssup->ssup_extra = state;
		ssup->comparator = ssup_datum_unsigned_cmp;
		ssup->abbrev_converter = abbrev_convert;
		ssup->abbrev_abort = abbrev_abort;
		ssup->abbrev_full_comparator = sort_compare;
	}
	PG_RETURN_VOID();
}

static int
sort_compare(Datum x, Datum y, SortSupport ssup)
{
	struct varlena *a = DatumGetTraceContextPP(x);
	struct varlena *b = DatumGetTraceContextPP(y);
	int			result = trace_context_compare(a, b);

	if ((Pointer) a != DatumGetPointer(x))
		pfree(a);
	if ((Pointer) b != DatumGetPointer(y))
		pfree(b);
	return result;
}

static Datum
abbrev_convert(Datum original, SortSupport ssup)
{
	AbbrevState *state = ssup->ssup_extra;
	struct varlena *value = DatumGetTraceContextPP(original);
	uint64		key;

	memcpy(&key, TRACE_CONTEXT(value)->trace_id, sizeof(key));
	if ((Pointer) value != DatumGetPointer(original))
		pfree(value);
	key = pg_ntoh64(key);

	state->input_count++;
	if (state->estimating)
		addHyperLogLog(&state->abbr_card,
					   DatumGetUInt32(hash_uint32((uint32) key ^ (uint32) (key >> 32))));
#if SIZEOF_DATUM == 8
	return UInt64GetDatum(key);
#else
	return UInt32GetDatum((uint32) (key >> 32));
#endif
}

/*
 * Gives up abbreviation when many rows belong to few traces.  The thresholds are those of the
 * built-in uuid: with more than 100,000 distinct keys it is worth while whatever follows; with
 * fewer than one in 2,000 it is not.
 */
static bool
abbrev_abort(int memtupcount, SortSupport ssup)
{
	AbbrevState *state = ssup->ssup_extra;
	double		distinct;

	if (memtupcount < 10000 || state->input_count < 10000 || !state->estimating)
		return false;
	distinct = estimateHyperLogLog(&state->abbr_card);
	if (distinct > 100000.0)
	{
		state->estimating = false;
		return false;
	}
	/* the half is there to give up early if there has been only one key */
	return distinct < state->input_count / 2000.0 + 0.5;
}

struct varlena *
trace_context_copy(const struct varlena *value, MemoryContext memory)
{
	Size		size = VARSIZE_ANY(value);

	return memcpy(MemoryContextAlloc(memory, size), value, size);
}

/*
 * Accessors
 */

text *
trace_context_hex_text(const uint8 *bytes, Size size)
{
	text	   *result = palloc(VARHDRSZ + 2 * size);

	SET_VARSIZE(result, VARHDRSZ + 2 * size);
	w3c_format_hex(bytes, size, VARDATA(result));
	return result;
}

PG_FUNCTION_INFO_V1(otel_trace_id);
Datum
otel_trace_id(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_TRACE_CONTEXT_PP(0);

	PG_RETURN_TEXT_P(trace_context_hex_text(TRACE_CONTEXT(value)->trace_id, W3C_TRACE_ID_SIZE));
}

PG_FUNCTION_INFO_V1(otel_span_id);
Datum
otel_span_id(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_TRACE_CONTEXT_PP(0);

	PG_RETURN_TEXT_P(trace_context_hex_text(TRACE_CONTEXT(value)->span_id, W3C_SPAN_ID_SIZE));
}

PG_FUNCTION_INFO_V1(otel_trace_flags);
Datum
otel_trace_flags(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_TRACE_CONTEXT_PP(0);

	PG_RETURN_INT32(TRACE_CONTEXT(value)->trace_flags);
}

PG_FUNCTION_INFO_V1(otel_trace_state);
Datum
otel_trace_state(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_TRACE_CONTEXT_PP(0);
	Size		len = TRACE_STATE_LEN(value);

	if (len == 0)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text_with_len(TRACE_CONTEXT(value)->trace_state, (int) len));
}

PG_FUNCTION_INFO_V1(otel_is_sampled);
Datum
otel_is_sampled(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_TRACE_CONTEXT_PP(0);

	PG_RETURN_BOOL(trace_context_is_sampled(value));
}

void
trace_context_propagated(const TraceContext *ctx, char out[W3C_TRACEPARENT_LEN])
{
	W3cTraceparent tp;

	memcpy(&tp, ctx, TRACE_CONTEXT_SIZE);
	tp.trace_flags &= W3C_FLAGS_KNOWN;
	w3c_format_traceparent(&tp, out);
}

text *
trace_context_traceparent(const struct varlena *value)
{
	text	   *result = palloc(VARHDRSZ + W3C_TRACEPARENT_LEN);

	SET_VARSIZE(result, VARHDRSZ + W3C_TRACEPARENT_LEN);
	trace_context_propagated(TRACE_CONTEXT(value), VARDATA(result));
	return result;
}

PG_FUNCTION_INFO_V1(otel_traceparent);
Datum
otel_traceparent(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(trace_context_traceparent(PG_GETARG_TRACE_CONTEXT_PP(0)));
}
