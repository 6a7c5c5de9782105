/*
 * link_agg.c: the aggregate otel.link_agg, of (context [, attributes]) or of (links
 * otel.span_link[]).
 *
 * Its state is a LinkSet in the aggregate's memory context.  The final function only reads it, so
 * it may be called repeatedly, as for a window.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/jsonb.h"

#include "links/link_set.h"

PG_FUNCTION_INFO_V1(otel_link_agg_transfn);
PG_FUNCTION_INFO_V1(otel_link_agg_merge_transfn);
PG_FUNCTION_INFO_V1(otel_link_agg_combine);
PG_FUNCTION_INFO_V1(otel_link_agg_serialize);
PG_FUNCTION_INFO_V1(otel_link_agg_deserialize);
PG_FUNCTION_INFO_V1(otel_link_agg_finalfn);

/* SQL cannot call these functions directly: it has no way to name a value of type internal. */
static MemoryContext
aggregate_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "function of otel.link_agg called outside of an aggregate");
	return context;
}

static LinkSet *
state_arg(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : (LinkSet *) PG_GETARG_POINTER(n);
}

#define PG_RETURN_STATE(state) \
	do { if ((state) != NULL) PG_RETURN_POINTER(state); PG_RETURN_NULL(); } while (0)

/* (state, context [, attributes]) → state: adds a link, unless context is NULL */
Datum
otel_link_agg_transfn(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	LinkSet    *state = state_arg(fcinfo, 0);
	Jsonb	   *attributes = NULL;

	if (PG_ARGISNULL(1))
		PG_RETURN_STATE(state);
	if (PG_NARGS() > 2 && !PG_ARGISNULL(2))
	{
		attributes = PG_GETARG_JSONB_P(2);
		span_link_check_attributes(attributes);
	}
	if (state == NULL)
		state = link_set_create(context);
	link_set_add(state, PG_GETARG_TRACE_CONTEXT_PP(1), attributes);
	PG_RETURN_POINTER(state);
}

/* (state, links otel.span_link[]) → state: adds all links of an array */
Datum
otel_link_agg_merge_transfn(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	LinkSet    *state = state_arg(fcinfo, 0);
	SpanLink   *links;
	int			nlinks;

	if (PG_ARGISNULL(1))
		PG_RETURN_STATE(state);
	links = span_link_read_array(PG_GETARG_ARRAYTYPE_P(1), &nlinks, NULL);
	if (nlinks > 0 && state == NULL)
		state = link_set_create(context);
	for (int i = 0; i < nlinks; i++)
		link_set_add(state, links[i].context, links[i].attributes);
	PG_RETURN_STATE(state);
}

/* (state, state) → state: the first with the links of the second that it does not have */
Datum
otel_link_agg_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	LinkSet    *state = state_arg(fcinfo, 0);
	LinkSet    *other = state_arg(fcinfo, 1);
	const SpanLink *links;
	int			nlinks;

	if (other == NULL)
		PG_RETURN_STATE(state);
	if (state == NULL)
		state = link_set_create(context);
	links = link_set_links(other, &nlinks);
	for (int i = 0; i < nlinks; i++)
		link_set_add(state, links[i].context, links[i].attributes);
	PG_RETURN_POINTER(state);
}

/* state → bytea; strict */
Datum
otel_link_agg_serialize(PG_FUNCTION_ARGS)
{
	(void) aggregate_context(fcinfo);
	PG_RETURN_BYTEA_P(link_set_serialize((LinkSet *) PG_GETARG_POINTER(0)));
}

/* bytea → state; strict */
Datum
otel_link_agg_deserialize(PG_FUNCTION_ARGS)
{
	(void) aggregate_context(fcinfo);
	PG_RETURN_POINTER(link_set_deserialize(PG_GETARG_BYTEA_P(0)));
}

/* state → otel.span_link[]; like array_agg(), NULL when there was no link */
Datum
otel_link_agg_finalfn(PG_FUNCTION_ARGS)
{
	LinkSet    *state = state_arg(fcinfo, 0);
	const SpanLink *links;
	int			nlinks;

	(void) aggregate_context(fcinfo);
	if (state == NULL)
		PG_RETURN_NULL();
	links = link_set_links(state, &nlinks);
	PG_RETURN_ARRAYTYPE_P(span_link_build_array(links, nlinks));
}
