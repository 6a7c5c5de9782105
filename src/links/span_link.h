/*
 * span_link.h: links in memory, and otel.span_link[] made of them.
 *
 * Owns the composite type otel.span_link (context, attributes), reading and building arrays of it.
 */
#ifndef OTEL_LINKS_SPAN_LINK_H
#define OTEL_LINKS_SPAN_LINK_H

#include "postgres.h"
#include "utils/array.h"
#include "utils/jsonb.h"
#include "columns.h"
#include "context/trace_context.h"

/* The columns of the composite type, from 0. */
enum
{
	SPAN_LINK_CONTEXT,
	SPAN_LINK_ATTRIBUTES,
	SPAN_LINK_COLUMNS
};

extern RowType span_link_row_type;

typedef struct SpanLink
{
	struct varlena *context;	/* otel.trace_context, detoasted, short header or not; never NULL */
	Jsonb	   *attributes;		/* detoasted object, or NULL */

	/* of the links of a span only */
	int32		dropped_attributes; /* how many a limit left out, in the row that is made of it */
	bool		is_local;		/* it leads to a span of the session itself */
} SpanLink;

/* Raises invalid_parameter_value, naming the JSON type, unless attributes are an object. */
extern void span_link_check_attributes(Jsonb *attributes);

/*
 * The links of an otel.span_link[], in CurrentMemoryContext.  NULL elements and links whose context
 * is NULL are skipped.  attributes that are not a JSON object raise invalid_parameter_value or,
 * where the caller asks for it, are dropped and counted in *nbad.  Raises datatype_mismatch when
 * the type was altered so that links cannot be read.  The links point into the array where they
 * can: it must live as long as they do.
 */
extern SpanLink *span_link_read_array(ArrayType *array, int *nlinks, int *nbad);

/*
 * An otel.span_link[] of the links, in CurrentMemoryContext.  Raises program_limit_exceeded when
 * they need more than an array can hold (1 GB: some 19 million links without attributes).
 */
extern ArrayType *span_link_build_array(const SpanLink *links, int nlinks);

#endif
