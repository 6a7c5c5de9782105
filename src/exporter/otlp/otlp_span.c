/*
 * otlp_span.c: rows of the queue as OTLP spans (trace.proto).
 *
 * Measured on one core with spans of 128 links, two attributes each (bench/export): nearly all
 * time goes into the links, so their contexts are read in place.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "exporter/otlp/key_values.h"
#include "queue/queue_tables.h"
#include "exporter/otlp/otlp_span.h"
#include "exporter/otlp/fields.h"
#include "exporter/otlp/utf8.h"
#include "compat.h"
#include "context/trace_context.h"
#include "links/packed_links.h"

TupleDesc
otlp_event_columns(TupleDesc queue)
{
	Oid			type = get_element_type(TupleDescAttr(queue, QUEUE_EVENTS)->atttypid);
	TupleDesc	desc = row_type_open(&span_event_row_type, type);
	/* What a later version added to the end is not read. */
	TupleDesc	copy = CreateTupleDescTruncatedCopy(desc, SPAN_EVENT_COLUMNS);

	ReleaseTupleDesc(desc);
	return copy;
}

/* Nanoseconds since 1970.  Times before that or after the year 2554 become the nearest one. */
static uint64
unix_nano(TimestampTz time)
{
	const int64 epoch = ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)) * USECS_PER_DAY;

	if (time < -epoch)
		return 0;
	if (time > (int64) (PG_UINT64_MAX / 1000) - epoch)
		return PG_UINT64_MAX;
	return (uint64) (time + epoch) * 1000;
}

static void
put_text(Writer *w, Field f, Datum value)
{
	text	   *t = DatumGetTextPP(value);
	const char *s = VARDATA_ANY(t);
	int			len = VARSIZE_ANY_EXHDR(t);

	utf8_convert_lossy(&s, &len);
	put_string(w, f, s, len);
}

/* An id that the queue holds as hex text. */
static void
put_hex_id(Writer *w, Field f, Datum value, int size)
{
	text	   *t = DatumGetTextPP(value);
	uint8		id[W3C_TRACE_ID_SIZE];

	if (VARSIZE_ANY_EXHDR(t) != (Size) size * 2)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("%s in the queue has %zu characters instead of %d",
						f.name, (size_t) VARSIZE_ANY_EXHDR(t), size * 2)));
	hex_decode(VARDATA_ANY(t), size * 2, (char *) id);
	put_id(w, f, id, size);
}

static void
put_context(Writer *w, const TraceContext *context, int state_len,
			Field trace_id, Field span_id, Field trace_state)
{
	const char *state = context->trace_state;

	put_id(w, trace_id, context->trace_id, W3C_TRACE_ID_SIZE);
	put_id(w, span_id, context->span_id, W3C_SPAN_ID_SIZE);
	utf8_convert_lossy(&state, &state_len);
	put_string(w, trace_state, state, state_len);
}

static void
put_status(Writer *w, Datum *values, bool *nulls)
{
	int			code = DatumGetInt16(values[QUEUE_STATUS_CODE]);
	size_t		start;

	if (code == 0 && nulls[QUEUE_STATUS_MESSAGE])
		return;
	start = begin_message(w, SPAN_STATUS);
	if (!nulls[QUEUE_STATUS_MESSAGE])
		put_text(w, STATUS_MESSAGE, values[QUEUE_STATUS_MESSAGE]);
	put_uint32(w, STATUS_CODE, code);
	end_message(w, start);
}

/* The rows of an array of a composite type. */
static int
array_rows(Datum array, Datum **rows, bool **nulls)
{
	ArrayType  *a = DatumGetArrayTypeP(array);
	int			n;

	deconstruct_array(a, ARR_ELEMTYPE(a), -1, false, TYPALIGN_DOUBLE, rows, nulls, &n);
	return n;
}

static void
deform_row(Datum row, TupleDesc desc, Datum *values, bool *nulls)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(row);
	HeapTupleData tuple;

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	heap_deform_tuple(&tuple, desc, values, nulls);
}

static void
put_events(Writer *w, TupleDesc desc, Datum array)
{
	Datum	   *rows;
	bool	   *row_nulls;
	int			n = array_rows(array, &rows, &row_nulls);

	begin_list(w, SPAN_EVENTS);
	for (int i = 0; i < n; i++)
	{
		Datum		values[SPAN_EVENT_COLUMNS];
		bool		nulls[SPAN_EVENT_COLUMNS];
		size_t		start;

		if (row_nulls[i])
			continue;
		deform_row(rows[i], desc, values, nulls);
		start = begin_item(w, SPAN_EVENTS);
		if (!nulls[SPAN_EVENT_TIME])
			put_fixed64(w, EVENT_TIME,
						unix_nano(DatumGetTimestampTz(values[SPAN_EVENT_TIME])));
		if (!nulls[SPAN_EVENT_NAME])
			put_text(w, EVENT_NAME, values[SPAN_EVENT_NAME]);
		if (!nulls[SPAN_EVENT_ATTRIBUTES])
			put_attributes(w, EVENT_ATTRIBUTES,
						   DatumGetJsonbP(values[SPAN_EVENT_ATTRIBUTES]));
		if (!nulls[SPAN_EVENT_DROPPED_ATTRIBUTES_COUNT])
			put_uint32(w, EVENT_DROPPED_ATTRIBUTES,
					   DatumGetInt32(values[SPAN_EVENT_DROPPED_ATTRIBUTES_COUNT]));
		end_message(w, start);
	}
	end_list(w);
}

static void
put_links(Writer *w, Datum value)
{
	PackedLinks links;
	PackedLink	link;

	packed_links_begin(&links, value);
	begin_list(w, SPAN_LINKS);
	while (packed_links_next(&links, &link))
	{
		size_t		start = begin_item(w, SPAN_LINKS);

		put_context(w, link.context, link.trace_state_len,
					LINK_TRACE_ID, LINK_SPAN_ID, LINK_TRACE_STATE);
		if (link.attributes_size > 0)
			put_attributes(w, LINK_ATTRIBUTES, packed_link_attributes(&link));
		put_uint32(w, LINK_DROPPED_ATTRIBUTES, link.dropped_attributes);
		put_fixed32(w, LINK_FLAGS, link.context->trace_flags | SPAN_FLAGS_HAS_IS_REMOTE |
					(link.is_local ? 0 : SPAN_FLAGS_IS_REMOTE));
		end_message(w, start);
	}
	end_list(w);
}

/* The fields of a span that are not lists. */
static void
put_scalars(Writer *w, Datum *values, bool *nulls)
{
	struct varlena *own = DatumGetTraceContextPP(values[QUEUE_CONTEXT]);

	put_context(w, TRACE_CONTEXT(own), TRACE_STATE_LEN(own),
				SPAN_TRACE_ID, SPAN_SPAN_ID, SPAN_TRACE_STATE);
	if (!nulls[QUEUE_PARENT_SPAN_ID])
		put_hex_id(w, SPAN_PARENT_SPAN_ID, values[QUEUE_PARENT_SPAN_ID], W3C_SPAN_ID_SIZE);
	put_text(w, SPAN_NAME, values[QUEUE_NAME]);
	put_uint32(w, SPAN_KIND, DatumGetInt16(values[QUEUE_KIND]));
	put_fixed64(w, SPAN_START_TIME, unix_nano(DatumGetTimestampTz(values[QUEUE_START_TIME])));
	put_fixed64(w, SPAN_END_TIME, unix_nano(DatumGetTimestampTz(values[QUEUE_END_TIME])));
	put_uint32(w, SPAN_DROPPED_ATTRIBUTES, DatumGetInt32(values[QUEUE_DROPPED_ATTRIBUTES_COUNT]));
	put_uint32(w, SPAN_DROPPED_EVENTS, DatumGetInt32(values[QUEUE_DROPPED_EVENTS_COUNT]));
	put_uint32(w, SPAN_DROPPED_LINKS, DatumGetInt32(values[QUEUE_DROPPED_LINKS_COUNT]));
	put_status(w, values, nulls);
	put_fixed32(w, SPAN_FLAGS, TRACE_CONTEXT(own)->trace_flags |
				SPAN_FLAGS_HAS_IS_REMOTE |
				(DatumGetBool(values[QUEUE_PARENT_IS_REMOTE]) ? SPAN_FLAGS_IS_REMOTE : 0));
}

void
otlp_append_span(Writer *w, TupleDesc event_columns, Datum *values, bool *nulls)
{
	size_t		start = 0;

	if (w->json)
		buffer_append_char(&w->buf, '{');
	else
		start = pb_open(&w->buf, SCOPE_SPANS_SPANS.number);

	put_scalars(w, values, nulls);
	if (!nulls[QUEUE_ATTRIBUTES])
		put_attributes(w, SPAN_ATTRIBUTES, DatumGetJsonbP(values[QUEUE_ATTRIBUTES]));
	if (!nulls[QUEUE_EVENTS])
		put_events(w, event_columns, values[QUEUE_EVENTS]);
	if (!nulls[QUEUE_LINKS])
		put_links(w, values[QUEUE_LINKS]);

	if (w->json)
		buffer_append(&w->buf, "},", 2);
	else
		pb_close(&w->buf, start);
}
