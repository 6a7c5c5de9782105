/*
 * span_row.c: makes a row of otel.span_queue from a finished span.
 *
 * Owns how a span's fields become Datums, and which links stay: OpenTelemetry's limit on links
 * is applied here, when the span is complete.  Where the rows go is up to queue/span_queue.c.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "links/link_limit.h"
#include "links/packed_links.h"
#include "monotonic.h"
#include "queue/queue_tables.h"
#include "queue/span_queue.h"
#include "settings.h"
#include "spans/attribute_limits.h"
#include "spans/span_ids.h"
#include "spans/span_row.h"

/* A row in the making. */
typedef struct SpanRow
{
	Datum		values[QUEUE_COLUMNS];
	bool		nulls[QUEUE_COLUMNS];
	int64		dropped_link_attributes;	/* so far, of all links */
} SpanRow;

/* A session logs at most once per this interval that limits dropped something. */
#define DISCARDS_LOG_INTERVAL_MS (60 * 1000)

/* ---- one row ---- */

static void
set_text(SpanRow *row, int column, const char *value)
{
	row->nulls[column] = value == NULL;
	if (value)
		row->values[column] = CStringGetTextDatum(value);
}

/* An otel.span_event[] of the span's events. */
static Datum
build_events(Relation queue, const Span *span)
{
	Oid			array_type = TupleDescAttr(RelationGetDescr(queue), QUEUE_EVENTS)->atttypid;
	Oid			type = get_element_type(array_type);
	TupleDesc	desc = row_type_open(&span_event_row_type, type);
	Datum	   *elements = palloc(span->nevents * sizeof(Datum));
	Datum	   *values = palloc0(desc->natts * sizeof(Datum));
	bool	   *nulls = palloc0(desc->natts * sizeof(bool));

	for (int i = SPAN_EVENT_COLUMNS; i < desc->natts; i++)
		nulls[i] = true;
	for (int i = 0; i < span->nevents; i++)
	{
		const SpanEvent *event = &span->events[i];

		values[SPAN_EVENT_TIME] = TimestampTzGetDatum(event->time);
		values[SPAN_EVENT_NAME] = CStringGetTextDatum(event->name);
		values[SPAN_EVENT_ATTRIBUTES] = PointerGetDatum(event->attributes);
		nulls[SPAN_EVENT_ATTRIBUTES] = event->attributes == NULL;
		values[SPAN_EVENT_DROPPED_ATTRIBUTES_COUNT] = Int32GetDatum(event->dropped_attributes);
		elements[i] = HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
	}
	ReleaseTupleDesc(desc);
	return PointerGetDatum(construct_array(elements, span->nevents, type, -1, false,
										   TYPALIGN_DOUBLE));
}

/* The links that stay, after the limits on their attributes. */
static void
set_links(SpanRow *row, const SpanLink *links, int nlinks)
{
	SpanLink   *kept;

	row->nulls[QUEUE_LINKS] = nlinks == 0;
	if (nlinks == 0)
		return;

	kept = palloc(nlinks * sizeof(SpanLink));
	for (int i = 0; i < nlinks; i++)
	{
		kept[i] = links[i];
		if (kept[i].attributes)
			kept[i].attributes =
				attributes_apply_limits(kept[i].attributes, otel_link_attribute_count_limit,
										otel_effective_attribute_value_length_limit(),
										&kept[i].dropped_attributes);
		row->dropped_link_attributes += kept[i].dropped_attributes;
	}
	row->values[QUEUE_LINKS] = PointerGetDatum(packed_links_build(kept, nlinks));
}

/* Sets every column but those of links.  append_parts() then overwrites some for each part. */
static void
set_span(Relation queue, SpanRow *row, const Span *span)
{
	bool		failed = span->rolled_back && span->status != SPAN_STATUS_ERROR;

	memset(row, 0, sizeof(*row));
	row->values[QUEUE_ORIGIN_SYSTEM] = Int64GetDatum((int64) GetSystemIdentifier());
	row->values[QUEUE_START_TIME] = TimestampTzGetDatum(span->start_time);
	row->values[QUEUE_END_TIME] = TimestampTzGetDatum(span->end_time);
	row->values[QUEUE_ORIGIN_DATABASE] = ObjectIdGetDatum(MyDatabaseId);
	row->values[QUEUE_DROPPED_ATTRIBUTES_COUNT] = Int32GetDatum(span->dropped_attributes);
	row->values[QUEUE_DROPPED_EVENTS_COUNT] = Int32GetDatum(span->dropped_events);
	row->values[QUEUE_KIND] = Int16GetDatum((int16) span->kind);
	row->values[QUEUE_STATUS_CODE] =
		Int16GetDatum(failed ? SPAN_STATUS_ERROR : (int16) span->status);
	row->values[QUEUE_PARENT_IS_REMOTE] = BoolGetDatum(span->parent_is_remote);
	row->values[QUEUE_CONTEXT] = PointerGetDatum(span->context);
	row->nulls[QUEUE_PARENT_SPAN_ID] = !span->has_parent;
	if (span->has_parent)
		row->values[QUEUE_PARENT_SPAN_ID] =
			PointerGetDatum(trace_context_hex_text(span->parent_span_id, W3C_SPAN_ID_SIZE));
	set_text(row, QUEUE_NAME, span->name);
	set_text(row, QUEUE_STATUS_MESSAGE, failed ? "transaction rolled back" : span->status_message);
	row->nulls[QUEUE_ATTRIBUTES] = span->attributes == NULL;
	row->values[QUEUE_ATTRIBUTES] = PointerGetDatum(span->attributes);
	row->nulls[QUEUE_EVENTS] = span->nevents == 0;
	if (span->nevents > 0)
		row->values[QUEUE_EVENTS] = build_events(queue, span);
}

/* ---- link_overflow = split ---- */

/* {"otel_links.part.index": index, "otel_links.part.count": count} */
static Jsonb *
part_attributes(int index, int count)
{
	char	   *object = psprintf("{\"otel_links.part.index\": %d, \"otel_links.part.count\": %d}",
								  index, count);

	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(object)));
}

/* A new context in the same trace. */
static Datum
part_context(const struct varlena *whole)
{
	const TraceContext *context = TRACE_CONTEXT(whole);
	W3cTraceparent part;

	part.trace_flags = context->trace_flags;
	memcpy(part.trace_id, context->trace_id, sizeof(part.trace_id));
	span_ids_random(part.span_id, sizeof(part.span_id));
	return PointerGetDatum(trace_context_make(&part, context->trace_state,
											  TRACE_STATE_LEN(whole)));
}

/*
 * The batch span keeps the first links; child spans of the same kind and times, each with an id of
 * its own, carry the rest, so that no item loses its link.  The batch span is part 1; its outcome
 * is recorded on it alone, so that a failure is not counted for each part.  The names of the others
 * say what they are: a trace viewer shows names, and hides attributes.
 */
static void
append_parts(Relation queue, const Span *span, SpanRow *row)
{
	int			limit = otel_span_link_count_limit;
	int			count = (span->nlinks + limit - 1) / limit;
	Datum		attributes = row->values[QUEUE_ATTRIBUTES];

	for (int part = 1; part <= count; part++)
	{
		int			from = (part - 1) * limit;
		Jsonb	   *marks = part_attributes(part, count);

		if (part == 1)
		{
			row->values[QUEUE_ATTRIBUTES] = span->attributes == NULL ? JsonbPGetDatum(marks) :
				DirectFunctionCall2(jsonb_concat, attributes, JsonbPGetDatum(marks));
		}
		else
		{
			const TraceContext *whole = TRACE_CONTEXT(span->context);

			row->values[QUEUE_PARENT_SPAN_ID] =
				PointerGetDatum(trace_context_hex_text(whole->span_id, W3C_SPAN_ID_SIZE));
			row->values[QUEUE_CONTEXT] = part_context(span->context);
			set_text(row, QUEUE_NAME,
					 psprintf("%s (links, part %d of %d)", span->name, part, count));
			row->values[QUEUE_PARENT_IS_REMOTE] = BoolGetDatum(false);
			row->values[QUEUE_ATTRIBUTES] = JsonbPGetDatum(marks);
			row->values[QUEUE_DROPPED_ATTRIBUTES_COUNT] = Int32GetDatum(0);
			row->values[QUEUE_DROPPED_EVENTS_COUNT] = Int32GetDatum(0);
			row->values[QUEUE_STATUS_CODE] = Int16GetDatum(SPAN_STATUS_UNSET);
			row->nulls[QUEUE_PARENT_SPAN_ID] = false;
			row->nulls[QUEUE_EVENTS] = row->nulls[QUEUE_STATUS_MESSAGE] = true;
		}
		row->nulls[QUEUE_ATTRIBUTES] = false;
		row->values[QUEUE_DROPPED_LINKS_COUNT] = Int32GetDatum(0);
		set_links(row, span->links + from, Min(limit, span->nlinks - from));
		queue_append_row(queue, row->values, row->nulls);
	}
}

/*
 * Logs what limits dropped from a span (opentelemetry.io/docs/specs/otel/trace/sdk, "Span
 * Limits": a message, at most once a span).
 */
static void
log_discards(const Span *span, int64 link_attributes, int links)
{
	static int64 next;
	int64		attributes = span->dropped_attributes + link_attributes;

	for (int i = 0; i < span->nevents; i++)
		attributes += span->events[i].dropped_attributes;
	if (attributes + span->dropped_events + links == 0 || monotonic_ms() < next)
		return;
	next = monotonic_ms() + DISCARDS_LOG_INTERVAL_MS;
	ereport(LOG,
			(errmsg("limits left out parts of span \"%s\": attributes: %lld, events: %d, links: %d",
					span->name, (long long) attributes, span->dropped_events, links),
			 errdetail("A session logs this at most once a minute."),
			 errhint("See the settings otel.attribute_count_limit, otel.span_event_count_limit "
					 "and otel.span_link_count_limit.")));
}

void
span_row_append(Relation queue, const Span *span)
{
	SpanRow		row;
	SpanLink   *links = span->links;
	int			limit = otel_span_link_count_limit;
	int			nkept = span->nlinks;

	set_span(queue, &row, span);
	if (span->nlinks > limit && otel_link_overflow == LINK_OVERFLOW_SPLIT && limit > 0)
	{
		append_parts(queue, span, &row);
		log_discards(span, row.dropped_link_attributes, 0);
		return;
	}
	if (span->nlinks > limit)
	{
		/* The choice is made in a copy: this attempt may be rolled back. */
		links = MemoryContextAllocHuge(CurrentMemoryContext, span->nlinks * sizeof(SpanLink));
		memcpy(links, span->links, span->nlinks * sizeof(SpanLink));
		nkept = link_limit_apply(links, span->nlinks, limit);
	}
	row.values[QUEUE_DROPPED_LINKS_COUNT] = Int32GetDatum(span->nlinks - nkept);
	set_links(&row, links, nkept);
	queue_append_row(queue, row.values, row.nulls);
	log_discards(span, row.dropped_link_attributes, span->nlinks - nkept);
}
