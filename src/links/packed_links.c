/*
 * packed_links.c: the layout of otel.packed_links, and its casts.
 *
 * Almost every link is a context and nothing else, which takes 25 bytes here and 64 as an element
 * of otel.span_link[].  What that saves in WAL and in instructions is in docs/scaling.md; other
 * forms that were measured: otel.span_link[] and otel.trace_context[], in line or not.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/memutils.h"

#include "links/packed_links.h"

/* ---- building ---- */

static uint8
parts_of(const SpanLink *link)
{
	return (TRACE_STATE_LEN(link->context) > 0 ? PACKED_TRACE_STATE : 0) |
		(link->attributes != NULL ? PACKED_ATTRIBUTES : 0) |
		(link->dropped_attributes > 0 ? PACKED_DROPPED : 0) |
		(link->is_local ? PACKED_LOCAL : 0);
}

static Size
attributes_size(const SpanLink *link)
{
	return link->attributes == NULL ? 0 : VARSIZE(link->attributes) - VARHDRSZ;
}

static Size
packed_size(const SpanLink *link, uint8 parts)
{
	Size		size = VARSIZE_ANY_EXHDR(link->context);

	if (parts & PACKED_TRACE_STATE)
		size += sizeof(int32);
	if (parts & PACKED_ATTRIBUTES)
		size += sizeof(int32) + attributes_size(link);
	if (parts & PACKED_DROPPED)
		size += sizeof(int32);
	if (parts & PACKED_LOCAL)
		size += 1;
	return size;
}

static char *
put_bytes(char *to, const void *bytes, Size size)
{
	memcpy(to, bytes, size);
	return to + size;
}

static char *
put_int32(char *to, int32 value)
{
	return put_bytes(to, &value, sizeof(value));
}

static char *
put_link(char *to, const SpanLink *link, uint8 parts)
{
	if (parts & PACKED_TRACE_STATE)
		to = put_int32(to, TRACE_STATE_LEN(link->context));
	to = put_bytes(to, TRACE_CONTEXT(link->context), VARSIZE_ANY_EXHDR(link->context));
	if (parts & PACKED_ATTRIBUTES)
	{
		to = put_int32(to, attributes_size(link));
		if (link->attributes != NULL)
			to = put_bytes(to, VARDATA(link->attributes), attributes_size(link));
	}
	if (parts & PACKED_DROPPED)
		to = put_int32(to, link->dropped_attributes);
	if (parts & PACKED_LOCAL)
		*to++ = link->is_local;
	return to;
}

struct varlena *
packed_links_build(const SpanLink *links, int nlinks)
{
	uint8		parts = 0;
	Size		size = VARHDRSZ + 1;
	struct varlena *value;
	char	   *to;

	for (int i = 0; i < nlinks; i++)
		parts |= parts_of(&links[i]);
	for (int i = 0; i < nlinks; i++)
	{
		size += packed_size(&links[i], parts);
		if (!AllocSizeIsValid(size))
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("%d links need more memory than a value can have (%zu bytes)",
							nlinks, (Size) MaxAllocSize)));
	}

	value = palloc(size);
	SET_VARSIZE(value, size);
	to = VARDATA(value);
	*to++ = parts;
	for (int i = 0; i < nlinks; i++)
		to = put_link(to, &links[i], parts);
	Assert(to == (char *) value + size);
	return value;
}

/* ---- reading ---- */

void
packed_links_begin(PackedLinks *reader, Datum value)
{
	struct varlena *v = PG_DETOAST_DATUM_PACKED(value);

	reader->next = VARDATA_ANY(v);
	reader->end = reader->next + VARSIZE_ANY_EXHDR(v);
	reader->parts = reader->next < reader->end ? *reader->next++ : 0;
	if (reader->parts & ~PACKED_ALL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the links of a span in the queue have unknown parts")));
}

static const char *
take(PackedLinks *reader, Size size)
{
	const char *bytes = reader->next;

	if (size > (Size) (reader->end - bytes))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the links of a span in the queue are truncated")));
	reader->next += size;
	return bytes;
}

/* A count or a length: what is negative is too large, which take() finds. */
static uint32
take_uint32(PackedLinks *reader)
{
	uint32		value;

	memcpy(&value, take(reader, sizeof(value)), sizeof(value));
	return value;
}

bool
packed_links_next(PackedLinks *reader, PackedLink *link)
{
	uint8		parts = reader->parts;

	if (reader->next == reader->end)
		return false;
	link->trace_state_len = parts & PACKED_TRACE_STATE ? take_uint32(reader) : 0;
	link->context = (const TraceContext *) take(reader, TRACE_CONTEXT_SIZE);
	take(reader, link->trace_state_len);
	link->attributes_size = parts & PACKED_ATTRIBUTES ? take_uint32(reader) : 0;
	link->attributes = take(reader, link->attributes_size);
	link->dropped_attributes = parts & PACKED_DROPPED ? (int32) take_uint32(reader) : 0;
	link->is_local = parts & PACKED_LOCAL ? *take(reader, 1) != 0 : false;
	return true;
}

Jsonb *
packed_link_attributes(const PackedLink *link)
{
	Size		size = VARHDRSZ + link->attributes_size;
	Jsonb	   *attributes;

	if (link->attributes_size == 0)
		return NULL;
	attributes = palloc(size);
	SET_VARSIZE(attributes, size);
	memcpy(VARDATA(attributes), link->attributes, link->attributes_size);
	return attributes;
}

static SpanLink
unpack(const PackedLink *link)
{
	Size		size = VARHDRSZ + TRACE_CONTEXT_SIZE + link->trace_state_len;
	SpanLink	unpacked = {
		.context = palloc(size),
		.attributes = packed_link_attributes(link),
		.dropped_attributes = link->dropped_attributes,
		.is_local = link->is_local
	};

	SET_VARSIZE(unpacked.context, size);
	memcpy(VARDATA(unpacked.context), link->context, size - VARHDRSZ);
	return unpacked;
}

SpanLink *
packed_links_unpack(Datum value, const uint8 *trace_id, int *nlinks)
{
	PackedLinks reader;
	PackedLink	link;
	int			room = 16;
	int			n = 0;
	SpanLink   *links = palloc(room * sizeof(SpanLink));

	packed_links_begin(&reader, value);
	while (packed_links_next(&reader, &link))
	{
		CHECK_FOR_INTERRUPTS();
		if (trace_id != NULL && memcmp(link.context->trace_id, trace_id, W3C_TRACE_ID_SIZE) != 0)
			continue;
		if (n == room)
		{
			room *= 2;
			links = repalloc_huge(links, room * sizeof(SpanLink));
		}
		links[n++] = unpack(&link);
	}
	*nlinks = n;
	return links;
}

/* ---- casts ---- */

/* The cast to otel.span_link[]. */
PG_FUNCTION_INFO_V1(otel_unpack_links);
Datum
otel_unpack_links(PG_FUNCTION_ARGS)
{
	int			nlinks;
	SpanLink   *links = packed_links_unpack(PG_GETARG_DATUM(0), NULL, &nlinks);

	PG_RETURN_ARRAYTYPE_P(span_link_build_array(links, nlinks));
}

/* The cast from otel.span_link[]. */
PG_FUNCTION_INFO_V1(otel_pack_links);
Datum
otel_pack_links(PG_FUNCTION_ARGS)
{
	int			nlinks;
	SpanLink   *links = span_link_read_array(PG_GETARG_ARRAYTYPE_P(0), &nlinks, NULL);

	PG_RETURN_POINTER(packed_links_build(links, nlinks));
}
