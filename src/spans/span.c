/*
 * span.c: the spans of a session: the two lists, and what can be done to one span.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "spans/attribute_limits.h"
#include "spans/sampler.h"
#include "settings.h"
#include "spans/span.h"
#include "spans/span_exit.h"
#include "spans/span_ids.h"
#include "spans/unsampled.h"

/*
 * Maximum spans a session may have open.  A job nests a handful.  A session that never ends its
 * spans would grow for ever, so the oldest is then ended for it.
 */
#define SPAN_MAX_OPEN 1000

dlist_head	span_open = DLIST_STATIC_INIT(span_open);
dlist_head	span_waiting = DLIST_STATIC_INIT(span_waiting);
int			span_waiting_count = 0;
Size		span_waiting_size = 0;

static int	open_count = 0;
static uint64 last_serial = 0;
static MemoryContext span_memory = NULL;

/* Is it the id of an open span of this session, or one that the session made lately? */
static bool
is_own(const uint8 *span_id)
{
	dlist_iter	iter;

	if (span_ids_made(span_id))
		return true;

	/* A job's own span may be older than the thousands that it starts within it. */
	dlist_foreach(iter, &span_open)
	{
		Span	   *span = dlist_container(Span, node, iter.cur);

		if (span->context && !span->no_op &&
			memcmp(TRACE_CONTEXT(span->context)->span_id, span_id, W3C_SPAN_ID_SIZE) == 0)
			return true;
	}
	return false;
}

/* ---- the lists ---- */

/* Sets up what the first span of a session needs; later calls do nothing. */
static void
ensure_session(void)
{
	if (span_memory == NULL)
		span_memory = AllocSetContextCreate(TopMemoryContext, "otel spans", ALLOCSET_DEFAULT_SIZES);
	span_ids_init(span_memory);
	span_exit_init();
}

Span *
span_stack_top(void)
{
	dlist_iter	iter;

	dlist_reverse_foreach(iter, &span_open)
	{
		Span	   *span = dlist_container(Span, node, iter.cur);

		if (span->on_stack)
			return span;
	}
	return NULL;
}

const struct varlena *
span_stack_current_context(void)
{
	dlist_iter	iter;

	dlist_reverse_foreach(iter, &span_open)
	{
		Span	   *span = dlist_container(Span, node, iter.cur);

		if (span->on_stack && span->context)
			return span->context;
	}
	return NULL;
}

static bool
same_ids(const struct varlena *a, const struct varlena *b)
{
	return memcmp(TRACE_CONTEXT(a)->trace_id, TRACE_CONTEXT(b)->trace_id,
				  W3C_TRACE_ID_SIZE + W3C_SPAN_ID_SIZE) == 0;
}

Span *
span_find(const struct varlena *context)
{
	dlist_head *lists[] = {&span_open, &span_waiting};

	for (int i = 0; i < 2; i++)
	{
		dlist_iter	iter;

		/* A no-op has its parent's context; of spans that share one, the latest is meant. */
		dlist_reverse_foreach(iter, lists[i])
		{
			Span	   *span = dlist_container(Span, node, iter.cur);

			if (span->context && same_ids(span->context, context))
				return span;
		}
	}
	return NULL;
}

bool
span_can_end(const Span *span)
{
	return !span->ended || (span->ended_by_scope && !span->queued);
}

Span *
span_find_serial(uint64 serial)
{
	dlist_head *lists[] = {&span_open, &span_waiting};

	for (int i = 0; i < 2; i++)
	{
		dlist_iter	iter;

		dlist_reverse_foreach(iter, lists[i])
		{
			Span	   *span = dlist_container(Span, node, iter.cur);

			if (span->serial == serial)
				return span_can_end(span) ? span : NULL;
		}
	}
	return NULL;
}

void
span_pop(Span *span)
{
	dlist_node *node = &span->node;

	if (!span->on_stack)
		return;
	otel_capture_generation++;
	for (;;)
	{
		dlist_container(Span, node, node)->on_stack = false;
		if (!dlist_has_next(&span_open, node))
			break;
		node = dlist_next_node(&span_open, node);
	}
}

void
span_forget(Span *span)
{
	Assert(!span->on_stack);
	dlist_delete(&span->node);
	if (span->ended)
	{
		span_waiting_count--;
		span_waiting_size -= span->size;
	}
	else
		open_count--;
	MemoryContextDelete(span->memory);
}

/* ---- start and end ---- */

/*
 * The span's own context, in its memory.  A child takes over the trace id, the random bit and the
 * tracestate; a new trace id is random and says so (W3C Trace Context Level 2, section 3.2.2.5.2).
 */
static void
make_context(Span *span, const SpanStart *start)
{
	const struct varlena *parent = start->parent;
	W3cTraceparent own;

	if (parent)
	{
		const TraceContext *p = TRACE_CONTEXT(parent);

		memcpy(own.trace_id, p->trace_id, sizeof(own.trace_id));
		own.trace_flags = p->trace_flags & W3C_FLAG_RANDOM;
		span->has_parent = true;
		memcpy(span->parent_span_id, p->span_id, sizeof(span->parent_span_id));
		span->parent_is_remote = !is_own(p->span_id);
	}
	else
	{
		span_ids_random(own.trace_id, sizeof(own.trace_id));
		own.trace_flags = W3C_FLAG_RANDOM;
	}
	span_ids_random(own.span_id, sizeof(own.span_id));
	span->recording = sampler_decide(own.trace_id, parent, start->links, start->nlinks);
	if (span->recording)
		own.trace_flags |= W3C_FLAG_SAMPLED;
	else
		unsampled_spans++;
	span->context = trace_context_make(&own, parent ? TRACE_CONTEXT(parent)->trace_state : NULL,
									   parent ? TRACE_STATE_LEN(parent) : 0);
	if (!start->anonymous)
		span_ids_remember(own.span_id);
}

/* Ends the oldest open span, to make room for a new one.  Warns once in a session. */
static void
end_oldest(void)
{
	static bool warned = false;
	Span	   *oldest = dlist_head_element(Span, node, &span_open);

	if (oldest->recording && !warned)
	{
		warned = true;
		ereport(WARNING,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("ending span \"%s\": the session has %d spans open",
						oldest->name, SPAN_MAX_OPEN),
				 errdetail("From now on the oldest is ended whenever another one is started."),
				 errhint("End spans with otel.end_span or otel.discard_span.")));
	}
	span_end_by_scope(oldest, GetCurrentTimestamp());
}

Span *
span_start(const SpanStart *start, bool push)
{
	const struct varlena *parent = start->parent;
	MemoryContext memory;
	MemoryContext caller;
	Span	   *span;

	ensure_session();
	if (push && open_count >= SPAN_MAX_OPEN)
		end_oldest();

	/* Until the span is complete, its memory is the caller's, so that an error frees it. */
	memory = AllocSetContextCreate(CurrentMemoryContext, "otel span", ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(memory);
	span = palloc0(sizeof(Span));
	span->memory = memory;
	span->serial = ++last_serial;
	span->no_op = start->no_op;
	span->kind = start->kind;
	span->scope = start->scope;
	span->start_time = start->start_time;
	span->start_subid = GetCurrentSubTransactionId();
	span->name = pstrdup(start->name);
	if (!start->no_op)
		make_context(span, start);
	else if (parent)
		span->context = trace_context_copy(parent, span->memory);
	MemoryContextSwitchTo(caller);
	if (span->recording)
	{
		span_add_links(span, start->links, start->nlinks);
		if (start->attributes)
			span_set_attributes(span, start->attributes);
	}
	MemoryContextSetParent(memory, span_memory);

	dlist_push_tail(&span_open, &span->node);
	open_count++;
	span->on_stack = push;
	if (push)
		otel_capture_generation++;
	return span;
}

/*
 * Moves a span from the open ones to the waiting ones; frees one that is not recorded.  Cannot
 * fail.
 */
static void
start_waiting(Span *span, TimestampTz end_time)
{
	if (!span->recording)
	{
		span_forget(span);
		return;
	}
	span->end_time = end_time;
	span->ended = true;
	span->end_subid = GetCurrentSubTransactionId();
	dlist_delete(&span->node);
	open_count--;
	dlist_push_tail(&span_waiting, &span->node);
	span_waiting_count++;
	span->size = MemoryContextMemAllocated(span->memory, false);
	span_waiting_size += span->size;
}

void
span_end(Span *span, TimestampTz end_time)
{
	if (span->recording && end_time < span->start_time)
	{
		ereport(WARNING,
				(errmsg("span \"%s\" ends before it starts", span->name),
				 errdetail("The end is moved to the start.")));
		end_time = span->start_time;
	}
	if (span->ended)
	{
		span->end_time = end_time;
		span->ended_by_scope = false;
		return;
	}
	span_pop(span);
	start_waiting(span, end_time);
}

void
span_end_by_scope(Span *span, TimestampTz now)
{
	otel_capture_generation++;
	span->on_stack = false;
	span->ended_by_scope = true;
	start_waiting(span, Max(now, span->start_time));
}

/* ---- changes ---- */

/*
 * A span can live as long as its session, so its memory gets only what it keeps: values are
 * computed in the caller's context and then copied.
 */
static Jsonb *
copy_jsonb(Span *span, const Jsonb *value)
{
	Jsonb	   *copy = MemoryContextAlloc(span->memory, VARSIZE(value));

	memcpy(copy, value, VARSIZE(value));
	return copy;
}

void
span_set_attributes(Span *span, Jsonb *attributes)
{
	Jsonb	   *old = span->attributes;
	int			dropped = 0;

	attributes = attributes_merge(old, attributes, otel_effective_attribute_count_limit(),
								  otel_effective_attribute_value_length_limit(), &dropped);
	span->attributes = copy_jsonb(span, attributes);
	span->dropped_attributes += dropped;
	pfree(attributes);
	if (old)
		pfree(old);
}

/* Makes room for this many more links. */
static void
enlarge_links(Span *span, int nmore)
{
	int			room = Max(span->maxlinks * 2, span->nlinks + nmore);

	if (span->nlinks + nmore <= span->maxlinks)
		return;
	if (span->links == NULL)
		span->links = MemoryContextAllocHuge(span->memory, room * sizeof(SpanLink));
	else
		span->links = repalloc_huge(span->links, room * sizeof(SpanLink));
	span->maxlinks = room;
}

/*
 * The contexts and attributes of all links go into one piece of memory.  Which links lead to the
 * session's own spans is decided now, because their ids may be forgotten later.
 */
void
span_add_links(Span *span, const SpanLink *links, int nlinks)
{
	Size		size = 0;
	char	   *copy;

	if (nlinks == 0)
		return;
	enlarge_links(span, nlinks);
	for (int i = 0; i < nlinks; i++)
	{
		size += MAXALIGN(VARSIZE_ANY(links[i].context));
		if (links[i].attributes)
			size += MAXALIGN(VARSIZE(links[i].attributes));
	}
	copy = MemoryContextAllocHuge(span->memory, size);
	for (int i = 0; i < nlinks; i++)
	{
		SpanLink   *link = &span->links[span->nlinks + i];

		link->context = (struct varlena *) copy;
		memcpy(copy, links[i].context, VARSIZE_ANY(links[i].context));
		copy += MAXALIGN(VARSIZE_ANY(links[i].context));
		link->attributes = NULL;
		link->dropped_attributes = 0;
		link->is_local = is_own(TRACE_CONTEXT(link->context)->span_id);
		if (links[i].attributes)
		{
			link->attributes = (Jsonb *) copy;
			memcpy(copy, links[i].attributes, VARSIZE(links[i].attributes));
			copy += MAXALIGN(VARSIZE(links[i].attributes));
		}
	}
	span->nlinks += nlinks;
}

/* Makes room for one more event; at the limit, the oldest is dropped. */
static void
enlarge_events(Span *span)
{
	while (span->nevents >= otel_span_event_count_limit)
	{
		SpanEvent	oldest = span->events[0];

		span->nevents--;
		span->dropped_events++;
		memmove(span->events, span->events + 1, span->nevents * sizeof(SpanEvent));
		pfree(oldest.name);
		if (oldest.attributes)
			pfree(oldest.attributes);
	}
	if (span->nevents < span->maxevents)
		return;
	if (span->events == NULL)
		span->events = MemoryContextAlloc(span->memory, 4 * sizeof(SpanEvent));
	else
		span->events = repalloc(span->events, span->maxevents * 2 * sizeof(SpanEvent));
	span->maxevents = Max(4, span->maxevents * 2);
}

/*
 * Above the limit the oldest event is dropped, as in most SDKs: the last one tells how the span
 * ended.
 */
void
span_add_event(Span *span, const char *name, TimestampTz time, Jsonb *attributes)
{
	SpanEvent	event = {0};

	if (otel_span_event_count_limit == 0)
	{
		span->dropped_events++;
		return;
	}
	event.time = time;
	if (attributes)
	{
		attributes = attributes_merge(NULL, attributes, otel_event_attribute_count_limit,
									  otel_effective_attribute_value_length_limit(),
									  &event.dropped_attributes);
		event.attributes = copy_jsonb(span, attributes);
	}
	event.name = MemoryContextStrdup(span->memory, name);
	enlarge_events(span);
	span->events[span->nevents++] = event;
}

/*
 * OpenTelemetry, Set Status: Ok is final, Unset is ignored, and a description counts only with
 * Error.  So after Error only another Error, or Ok, has an effect.
 */
void
span_set_status(Span *span, SpanStatus status, const char *message)
{
	if (status == SPAN_STATUS_UNSET || span->status == SPAN_STATUS_OK)
		return;
	span->status = status;
	if (span->status_message)
		pfree(span->status_message);
	span->status_message = NULL;
	if (status == SPAN_STATUS_ERROR && message && *message)
		span->status_message = MemoryContextStrdup(span->memory, message);
}

void
span_set_name(Span *span, const char *name)
{
	char	   *copy = MemoryContextStrdup(span->memory, name);

	pfree(span->name);
	span->name = copy;
}
