/*
 * linked_from.c: which links lead to a trace.
 *
 * Owns otel.links_to(), which otel.linked_from() calls for every span that it reads.  So links are
 * compared here as bytes, not in SQL as text.  The SQL functions decide which spans are read, and
 * with whose privileges.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "context/trace_context.h"
#include "context/w3c.h"
#include "links/packed_links.h"

/*
 * Reads a trace id.  For an invalid one, raises invalid_text_representation, as the type does for a
 * traceparent with such a trace id.
 */
static void
parse_trace_id(const text *value, uint8 *trace_id)
{
	const char *hex = VARDATA_ANY(value);
	Size		len = VARSIZE_ANY_EXHDR(value);

	if (len != 2 * W3C_TRACE_ID_SIZE || !w3c_parse_hex(hex, W3C_TRACE_ID_SIZE, trace_id) ||
		w3c_is_zero(trace_id, W3C_TRACE_ID_SIZE))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid trace id: \"%s\"", trace_context_clip(hex, len)),
				 errdetail("A trace id is 32 lower-case hexadecimal digits, not all of them 0.")));
}

/* The result of both functions. */
static Datum
links_or_null(FunctionCallInfo fcinfo, const SpanLink *links, int nlinks)
{
	if (nlinks == 0)
		PG_RETURN_NULL();
	PG_RETURN_ARRAYTYPE_P(span_link_build_array(links, nlinks));
}

/* links_to(otel.span_link[], trace_id) */
PG_FUNCTION_INFO_V1(otel_links_to);
Datum
otel_links_to(PG_FUNCTION_ARGS)
{
	uint8		trace_id[W3C_TRACE_ID_SIZE];
	SpanLink   *links;
	int			nlinks;
	int			nbad;
	int			nfound = 0;

	parse_trace_id(PG_GETARG_TEXT_PP(1), trace_id);
	links = span_link_read_array(PG_GETARG_ARRAYTYPE_P(0), &nlinks, &nbad);
	for (int i = 0; i < nlinks; i++)
	{
		if (memcmp(TRACE_CONTEXT(links[i].context)->trace_id, trace_id, W3C_TRACE_ID_SIZE) == 0)
			links[nfound++] = links[i];
	}
	return links_or_null(fcinfo, links, nfound);
}

/* links_to(otel.packed_links, trace_id) */
PG_FUNCTION_INFO_V1(otel_packed_links_to);
Datum
otel_packed_links_to(PG_FUNCTION_ARGS)
{
	uint8		trace_id[W3C_TRACE_ID_SIZE];
	SpanLink   *links;
	int			nlinks;

	parse_trace_id(PG_GETARG_TEXT_PP(1), trace_id);
	links = packed_links_unpack(PG_GETARG_DATUM(0), trace_id, &nlinks);
	return links_or_null(fcinfo, links, nlinks);
}
