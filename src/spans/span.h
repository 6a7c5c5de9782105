/*
 * span.h: the spans of a session, in its memory.
 *
 * A span is in exactly one of two lists.  *Open* ones have not been ended; those of them that are
 * on the stack can be the current context, innermost last.  *Waiting* ones are over and become rows
 * of the queue when a transaction commits (span_scope.c).  Every span owns a memory context, a
 * child of one that lives as long as the session.
 *
 *	span.c				the lists, and what can be done to one span
 *	span_ids.c			ids
 *	span_scope.c		transactions and scopes
 *	span_flush.c		the way into the queue, late_interrupts.c what may not disturb it
 *	span_row.c			a row of the queue
 *	span_exit.c			what becomes of spans when their session ends
 *	sampler.c			is it recorded?  unsampled.c: how many were not
 *	attribute_limits.c	attributes and values that are too many or too long
 *
 * The SQL functions are in the room above, span_api/.
 */
#ifndef OTEL_LINKS_SPAN_H
#define OTEL_LINKS_SPAN_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "utils/jsonb.h"
#include "links/span_link.h"
#include "context/w3c.h"

/* SpanKind and Status.StatusCode of OTLP */
typedef enum SpanKind
{
	SPAN_KIND_INTERNAL = 1,
	SPAN_KIND_SERVER,
	SPAN_KIND_CLIENT,
	SPAN_KIND_PRODUCER,
	SPAN_KIND_CONSUMER
} SpanKind;

typedef enum SpanStatus
{
	SPAN_STATUS_UNSET = 0,
	SPAN_STATUS_OK,
	SPAN_STATUS_ERROR
} SpanStatus;

typedef enum SpanScope
{
	SPAN_SCOPE_TRANSACTION,		/* its transaction or top-level statement, whichever is longer */
	SPAN_SCOPE_SESSION
} SpanScope;

typedef struct SpanEvent
{
	TimestampTz time;
	char	   *name;
	Jsonb	   *attributes;		/* or NULL */
	int			dropped_attributes;
} SpanEvent;

typedef struct Span
{
	dlist_node	node;			/* in the open or the waiting list */
	MemoryContext memory;		/* owns the span and all it points to */
	Size		size;			/* of that memory, once the span is over */
	uint64		serial;			/* which of the session's spans it is: no two have the same */
	struct varlena *context;	/* otel.trace_context; NULL only for a no-op without a parent */
	bool		no_op;			/* it has its parent's context, not one of its own */
	bool		recording;		/* sampled, and so queued when it is over */
	bool		on_stack;		/* open, and a candidate for the current context */
	bool		ended;			/* in the waiting list */
	bool		ended_by_scope; /* ... by its scope's end: end_span() may still complete it */
	SpanScope	scope;

	/* What OTLP sends of it */
	char	   *name;
	SpanKind	kind;
	bool		has_parent;
	bool		parent_is_remote;
	uint8		parent_span_id[W3C_SPAN_ID_SIZE];
	TimestampTz start_time;
	TimestampTz end_time;
	Jsonb	   *attributes;		/* or NULL */
	int			dropped_attributes;
	SpanLink   *links;
	int			nlinks;
	int			maxlinks;
	SpanEvent  *events;
	int			nevents;
	int			maxevents;
	int			dropped_events;
	SpanStatus	status;
	char	   *status_message;

	/* Its part in transactions (span_scope.c) */
	SubTransactionId start_subid;	/* Invalid once that transaction is over */
	SubTransactionId end_subid; /* the same of the end */
	bool		rolled_back;	/* began or ended in what was rolled back: its status is Error */
	bool		queued;			/* its row is in a transaction that has not committed yet */
	int			failures;		/* how often it could not be queued */
} Span;

/* The arguments of start_span() and record_span(). */
typedef struct SpanStart
{
	const char *name;
	SpanKind	kind;
	SpanScope	scope;
	TimestampTz start_time;
	const struct varlena *parent;	/* NULL: the span begins a trace */
	const SpanLink *links;
	int			nlinks;
	Jsonb	   *attributes;		/* an object, or NULL */
	bool		no_op;			/* nothing is to be recorded, whatever the sampler says */
	bool		anonymous;		/* nobody learns its id, so it need not be remembered */
} SpanStart;

extern dlist_head span_open;	/* in order of their start */
extern dlist_head span_waiting; /* in order of their end */
extern int	span_waiting_count;
extern Size span_waiting_size;	/* in bytes */

/* The context of the innermost span on the stack that has one, or NULL. */
extern const struct varlena *span_stack_current_context(void);

/* The innermost span on the stack, or NULL. */
extern Span *span_stack_top(void);

/* The open or waiting span with that context (its ids count), or NULL. */
extern Span *span_find(const struct varlena *context);

/* May it be changed and ended?  One that its scope ended may, until it is queued. */
extern bool span_can_end(const Span *span);

/* The span of that serial number that can be ended, or NULL. */
extern Span *span_find_serial(uint64 serial);

/* Starts a span and appends it to the open ones; push says whether it goes on the stack. */
extern Span *span_start(const SpanStart *start, bool push);

/*
 * Ends a span: off the stack, with what is above it, and on to the waiting ones.  One that is not
 * recorded is gone afterwards.  One that its scope ended gets another end.  Warns when it ends
 * before it starts.
 */
extern void span_end(Span *span, TimestampTz end_time);

/* Ends an open span whose scope is over; what is above it stays.  Cannot fail: aborts call it. */
extern void span_end_by_scope(Span *span, TimestampTz now);

/* Takes an open span off the stack, with what is above it. */
extern void span_pop(Span *span);

/* Forgets a span that is off the stack and frees it. */
extern void span_forget(Span *span);

/* Changes to a span that is not queued yet; all copy into the span's memory. */
extern void span_set_attributes(Span *span, Jsonb *attributes);
extern void span_add_links(Span *span, const SpanLink *links, int nlinks);
extern void span_add_event(Span *span, const char *name, TimestampTz time, Jsonb *attributes);
extern void span_set_status(Span *span, SpanStatus status, const char *message);
extern void span_set_name(Span *span, const char *name);

#endif
