/*
 * span_link.c: the composite type otel.span_link, and arrays of it.
 *
 * Links come by the hundred thousand, so the array is laid out here, element by element in its
 * final place, and not through heap_form_tuple() and construct_array(), which allocate and copy
 * each element: link_agg() of a million distinct contexts then takes half as much CPU again (0.38 s
 * against 0.24).
 *
 * How links are collected is in link_set.c and link_agg.c.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "links/span_link.h"

static const Column link_columns[SPAN_LINK_COLUMNS] = {
	{"context", InvalidOid, "otel.trace_context", false},
	{"attributes", JSONBOID, NULL, false},
};

RowType		span_link_row_type = {.name = "otel.span_link", .columns = link_columns,
	.ncolumns = SPAN_LINK_COLUMNS};

/* A link as a row in the making.  Columns that a later version added stay NULL. */
typedef struct LinkTuple
{
	TupleDesc	desc;
	Datum	   *values;
	bool	   *nulls;
	Size		hoff;			/* where the columns begin */
} LinkTuple;

PG_FUNCTION_INFO_V1(otel_span_link);

static Oid
span_link_type(void)
{
	Oid			type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("span_link"),
									   ObjectIdGetDatum(get_namespace_oid("otel", false)));

	if (!OidIsValid(type))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("type \"%s\" does not exist", "otel.span_link"),
				 errhint("Run CREATE EXTENSION otel_links in this database.")));
	return type;
}

/*
 * The bitmap of NULLs, one byte for up to eight columns, fits into the padding that the header
 * needs anyway, so the columns begin at the same place with and without it.
 */
static void
link_tuple_begin(LinkTuple *row, Oid type)
{
	row->desc = row_type_open(&span_link_row_type, type);
	row->values = palloc0(row->desc->natts * sizeof(Datum));
	row->nulls = palloc(row->desc->natts * sizeof(bool));
	memset(row->nulls, true, row->desc->natts * sizeof(bool));
	row->hoff = MAXALIGN(SizeofHeapTupleHeader + BITMAPLEN(row->desc->natts));
}

static void
link_tuple_end(LinkTuple *row)
{
	pfree(row->values);
	pfree(row->nulls);
	ReleaseTupleDesc(row->desc);
}

void
span_link_check_attributes(Jsonb *attributes)
{
	JsonbValue	value;

	if (JB_ROOT_IS_OBJECT(attributes))
		return;
	if (!JsonbExtractScalar(&attributes->root, &value))
		JsonbToJsonbValue(attributes, &value);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("attributes of a link must be a JSON object"),
			 errdetail("They are a JSON value of type %s.", JsonbTypeName(&value))));
}

SpanLink *
span_link_read_array(ArrayType *array, int *nlinks, int *nbad)
{
	LinkTuple	row;
	Datum	   *elements;
	bool	   *nulls;
	int			nelements;
	SpanLink   *links;
	int			n = 0;

	if (nbad != NULL)
		*nbad = 0;
	link_tuple_begin(&row, ARR_ELEMTYPE(array));
	deconstruct_array(array, ARR_ELEMTYPE(array), -1, false, TYPALIGN_DOUBLE,
					  &elements, &nulls, &nelements);
	links = palloc(sizeof(SpanLink) * Max(nelements, 1));
	for (int i = 0; i < nelements; i++)
	{
		HeapTupleData tuple;

		if (nulls[i])
			continue;
		tuple.t_data = DatumGetHeapTupleHeader(elements[i]);
		tuple.t_len = HeapTupleHeaderGetDatumLength(tuple.t_data);
		heap_deform_tuple(&tuple, row.desc, row.values, row.nulls);
		if (row.nulls[SPAN_LINK_CONTEXT])
			continue;
		links[n] = (SpanLink) {
			.context = DatumGetTraceContextPP(row.values[SPAN_LINK_CONTEXT]),
			.attributes = row.nulls[SPAN_LINK_ATTRIBUTES] ? NULL :
				DatumGetJsonbP(row.values[SPAN_LINK_ATTRIBUTES])
		};
		if (links[n].attributes != NULL && nbad == NULL)
			span_link_check_attributes(links[n].attributes);
		else if (links[n].attributes != NULL && !JB_ROOT_IS_OBJECT(links[n].attributes))
		{
			links[n].attributes = NULL;
			(*nbad)++;
		}
		n++;
	}
	pfree(elements);
	pfree(nulls);
	link_tuple_end(&row);
	*nlinks = n;
	return links;
}

static void
link_tuple_set(LinkTuple *row, const SpanLink *link)
{
	row->values[SPAN_LINK_CONTEXT] = PointerGetDatum(link->context);
	row->nulls[SPAN_LINK_CONTEXT] = false;
	row->values[SPAN_LINK_ATTRIBUTES] = PointerGetDatum(link->attributes);
	row->nulls[SPAN_LINK_ATTRIBUTES] = link->attributes == NULL;
}

/* The size of the link as a composite datum, not aligned. */
static Size
link_tuple_size(LinkTuple *row, const SpanLink *link)
{
	link_tuple_set(row, link);
	return row->hoff + heap_compute_data_size(row->desc, row->values, row->nulls);
}

/*
 * Writes the link at dest, which is zeroed, as a composite datum; returns its size, not aligned.
 * header is that of another link: what a server puts there is its own affair (some minor releases
 * add the version of the row type), and only the length and the mask depend on the link.
 */
static Size
link_tuple_write(LinkTuple *row, const SpanLink *link, HeapTupleHeader header, char *dest)
{
	HeapTupleHeader tuple = (HeapTupleHeader) dest;
	Size		size = link_tuple_size(row, link);
	bool		has_nulls = link->attributes == NULL || row->desc->natts > SPAN_LINK_COLUMNS;

	memcpy(tuple, header, SizeofHeapTupleHeader);
	tuple->t_hoff = row->hoff;
	HeapTupleHeaderSetDatumLength(tuple, size);
	heap_fill_tuple(row->desc, row->values, row->nulls, dest + row->hoff, size - row->hoff,
					&tuple->t_infomask, has_nulls ? tuple->t_bits : NULL);
	return size;
}

/* The link as heap_form_tuple() makes it. */
static HeapTuple
link_tuple_form(LinkTuple *row, const SpanLink *link)
{
	link_tuple_set(row, link);
	return heap_form_tuple(row->desc, row->values, row->nulls);
}

/* The size of the array.  Raises program_limit_exceeded when that is more than one can have. */
static Size
array_size(LinkTuple *row, const SpanLink *links, int nlinks)
{
	Size		size = ARR_OVERHEAD_NONULLS(1);

	for (int i = 0; i < nlinks; i++)
	{
		size += MAXALIGN(link_tuple_size(row, &links[i]));
		if (!AllocSizeIsValid(size))
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("%d links need more memory than an array can have (%zu bytes)",
							nlinks, (Size) MaxAllocSize)));
	}
	return size;
}

ArrayType *
span_link_build_array(const SpanLink *links, int nlinks)
{
	LinkTuple	row;
	Size		size;
	HeapTuple	first;
	ArrayType  *array;
	char	   *dest;

	link_tuple_begin(&row, span_link_type());
	if (nlinks == 0)
	{
		array = construct_empty_array(row.desc->tdtypeid);
		link_tuple_end(&row);
		return array;
	}

	size = array_size(&row, links, nlinks);
	array = palloc0(size);
	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->dataoffset = 0;		/* no NULL elements */
	array->elemtype = row.desc->tdtypeid;
	ARR_DIMS(array)[0] = nlinks;
	ARR_LBOUND(array)[0] = 1;

	dest = (char *) array + ARR_OVERHEAD_NONULLS(1);
	first = link_tuple_form(&row, &links[0]);
	for (int i = 0; i < nlinks; i++)
		dest += MAXALIGN(link_tuple_write(&row, &links[i], first->t_data, dest));
	Assert(dest == (char *) array + size);

	heap_freetuple(first);
	link_tuple_end(&row);
	return array;
}

/* otel.span_link(context, attributes): the constructor; NULL when the context is. */
Datum
otel_span_link(PG_FUNCTION_ARGS)
{
	SpanLink	link;
	LinkTuple	row;
	HeapTuple	tuple;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	link.context = PG_GETARG_TRACE_CONTEXT_PP(0);
	link.attributes = PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1);
	if (link.attributes != NULL)
		span_link_check_attributes(link.attributes);

	link_tuple_begin(&row, span_link_type());
	tuple = link_tuple_form(&row, &link);
	link_tuple_end(&row);
	PG_RETURN_DATUM(HeapTupleGetDatum(tuple));
}
