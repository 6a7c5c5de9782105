/*
 * link_rows.c: otel.span_contexts() and otel.span_links(), which give a client the rows from
 * which its SDK rebuilds span contexts and links.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "links/link_limit.h"
#include "links/link_set.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(otel_span_contexts);
PG_FUNCTION_INFO_V1(otel_span_links);

/* trace_id, span_id, trace_flags, trace_state, is_remote [, attributes] */
#define MAX_COLUMNS 6

typedef struct LinkRows
{
	SpanLink   *links;
	int			nlinks;
} LinkRows;

/* The argument max_links, or otel.span_link_count_limit if it is NULL. */
static int
max_links_arg(FunctionCallInfo fcinfo, int n)
{
	int			max;

	if (PG_ARGISNULL(n))
		return otel_span_link_count_limit;
	max = PG_GETARG_INT32(n);
	if (max < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_links must not be negative")));
	return max;
}

/*
 * Makes a row.  A stored context came from elsewhere, so is_remote is true, as it is for every
 * context that an SDK extracts from a carrier.
 */
static Datum
link_row(const SpanLink *link, TupleDesc tupdesc)
{
	const TraceContext *context = TRACE_CONTEXT(link->context);
	Size		trace_state_len = TRACE_STATE_LEN(link->context);
	Datum		values[MAX_COLUMNS];
	bool		isnull[MAX_COLUMNS] = {false};

	values[0] = PointerGetDatum(trace_context_hex_text(context->trace_id, W3C_TRACE_ID_SIZE));
	values[1] = PointerGetDatum(trace_context_hex_text(context->span_id, W3C_SPAN_ID_SIZE));
	values[2] = Int32GetDatum(context->trace_flags);
	isnull[3] = trace_state_len == 0;
	values[3] = isnull[3] ? (Datum) 0 :
		PointerGetDatum(cstring_to_text_with_len(context->trace_state, trace_state_len));
	values[4] = BoolGetDatum(true);
	isnull[5] = link->attributes == NULL;
	values[5] = PointerGetDatum(link->attributes);
	return HeapTupleGetDatum(heap_form_tuple(tupdesc, values, isnull));
}

/* Finishes a set-returning function's first call; links is in multi_call_memory_ctx. */
static void
link_rows_begin(FunctionCallInfo fcinfo, SpanLink *links, int nlinks)
{
	FuncCallContext *funcctx = fcinfo->flinfo->fn_extra;
	LinkRows   *rows = palloc(sizeof(LinkRows));
	TupleDesc	tupdesc;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE ||
		tupdesc->natts > MAX_COLUMNS)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("function returning record called in context "
						"that cannot accept type record")));
	funcctx->tuple_desc = BlessTupleDesc(tupdesc);
	rows->links = links;
	rows->nlinks = link_limit_apply(links, nlinks, max_links_arg(fcinfo, 1));
	funcctx->user_fctx = rows;
}

static Datum
link_rows_next(FunctionCallInfo fcinfo)
{
	FuncCallContext *funcctx = SRF_PERCALL_SETUP();
	LinkRows   *rows = funcctx->user_fctx;
	Datum		row;

	if (rows == NULL || funcctx->call_cntr >= (uint64) rows->nlinks)
		SRF_RETURN_DONE(funcctx);
	row = link_row(&rows->links[funcctx->call_cntr], funcctx->tuple_desc);
	SRF_RETURN_NEXT(funcctx, row);
}

/* The distinct contexts of an otel.trace_context[], in order of first appearance. */
static SpanLink *
distinct_contexts(ArrayType *array, int *nlinks)
{
	LinkSet    *set = link_set_create(CurrentMemoryContext);
	Datum	   *elements;
	bool	   *nulls;
	int			nelements;

	deconstruct_array(array, ARR_ELEMTYPE(array), -1, false, TYPALIGN_INT,
					  &elements, &nulls, &nelements);
	for (int i = 0; i < nelements; i++)
		if (!nulls[i])
			link_set_add(set, DatumGetTraceContextPP(elements[i]), NULL);
	pfree(elements);
	pfree(nulls);
	return (SpanLink *) link_set_links(set, nlinks);
}

/* otel.span_contexts(contexts, max_links) */
Datum
otel_span_contexts(PG_FUNCTION_ARGS)
{
	if (SRF_IS_FIRSTCALL())
	{
		FuncCallContext *funcctx = SRF_FIRSTCALL_INIT();

		if (!PG_ARGISNULL(0))
		{
			MemoryContext oldcontext = MemoryContextSwitchTo(funcctx->multi_call_memory_ctx);
			int			nlinks;
			SpanLink   *links = distinct_contexts(PG_GETARG_ARRAYTYPE_P(0), &nlinks);

			link_rows_begin(fcinfo, links, nlinks);
			MemoryContextSwitchTo(oldcontext);
		}
	}
	return link_rows_next(fcinfo);
}

/* otel.span_links(links, max_links) */
Datum
otel_span_links(PG_FUNCTION_ARGS)
{
	if (SRF_IS_FIRSTCALL())
	{
		FuncCallContext *funcctx = SRF_FIRSTCALL_INIT();

		if (!PG_ARGISNULL(0))
		{
			MemoryContext oldcontext = MemoryContextSwitchTo(funcctx->multi_call_memory_ctx);
			int			nlinks;
			SpanLink   *links = span_link_read_array(PG_GETARG_ARRAYTYPE_P_COPY(0), &nlinks, NULL);

			link_rows_begin(fcinfo, links, nlinks);
			MemoryContextSwitchTo(oldcontext);
		}
	}
	return link_rows_next(fcinfo);
}
