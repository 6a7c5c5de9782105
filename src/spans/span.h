/*
 * span.h: the spans of a session, in its memory.
 *
 * A span is in exactly one of two lists.  *Open* spans have not ended; those of them that are on
 * the stack can be the current context, innermost last.  *Waiting* spans have ended and become rows
 * of the queue when a transaction commits (span_scope.c).  Every span owns a memory context, a
 * child of one that lives as long as the session.
 *
 *	span.c				the lists, and what can be done to one span
 *	span_ids.c			ids
 *	span_scope.c		transactions and scopes
 *	span_flush.c		writes waiting spans into the queue.  guarded.c: catches its errors;
 *						late_interrupts.c: interrupts that arrive meanwhile
 *	span_row.c			a row of the queue
 *	span_exit.c			what becomes of spans when their session ends
 *	prepared_spans.c	what ROLLBACK PREPARED loses
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
	Size		size;			/* of that memory, once the span is waiting */
	uint64		serial;			/* a number that no other span of the session has */
	struct varlena *context;	/* otel.trace_context; NULL only for a no-op without a parent */
	bool		no_op;			/* it has its parent's context, not one of its own */
	bool		recording;		/* sampled, so it will be queued */
	bool		on_stack;		/* open, and a candidate for the current context */
	bool		ended;			/* in the waiting list */
	bool		ended_by_scope; /* its scope's end ended it: end_span() may still complete it */
	SpanScope	scope;

	/* What is sent by OTLP */
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
	SubTransactionId start_subid;	/* where it started; Invalid once that transaction is over */
	SubTransactionId end_subid; /* where it ended; likewise */
	bool		rolled_back;	/* where it started or ended was rolled back: its status is Error */
	bool		queued;			/* its row is written, but the transaction has not committed yet */
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
	bool		no_op;			/* do not record it, whatever the sampler says */
	bool		anonymous;		/* the caller does not get its id, so it need not be remembered */
} SpanStart;

extern dlist_head span_open;	/* in order of their start */
extern dlist_head span_waiting; /* in order of their end */
extern int	span_waiting_count;
extern Size span_waiting_size;	/* in bytes */

/* The context of the innermost span on the stack that has one, or NULL. */
extern const struct varlena *span_stack_current_context(void);

/* The innermost span on the stack, or NULL. */
extern Span *span_stack_top(void);

/* The open or waiting span with the ids of that context, or NULL. */
extern Span *span_find(const struct varlena *context);

/* May it be changed and ended?  A span that its scope ended may, until it is queued. */
extern bool span_can_end(const Span *span);

/* The span with that serial number, if it can be ended, or NULL. */
extern Span *span_find_serial(uint64 serial);

/*
 * Starts a span and appends it to the open ones; push says whether it goes on the stack.  What
 * start points to is copied.  Raises only when memory is short; warns when too many spans are open.
 */
extern Span *span_start(const SpanStart *start, bool push);

/*
 * Ends a span: takes it off the stack, with what is above it, and moves it to the waiting ones.  A
 * span that is not recorded is freed.  One that its scope ended gets a new end time.  Warns when it
 * would end before it starts.
 */
extern void span_end(Span *span, TimestampTz end_time);

/*
 * Ends an open span whose scope is over; what is above it stays.  Cannot fail, as aborts call it.
 */
extern void span_end_by_scope(Span *span, TimestampTz now);

/* Takes an open span off the stack, with what is above it. */
extern void span_pop(Span *span);

/* Frees a span that is off the stack, and removes it from its list. */
extern void span_forget(Span *span);

/*
 * Changes to a span that is not queued yet.  All copy what they are given into the span's memory,
 * and raise only when memory is short or a value becomes too large for jsonb.
 */
extern void span_set_attributes(Span *span, Jsonb *attributes);
extern void span_add_links(Span *span, const SpanLink *links, int nlinks);
extern void span_add_event(Span *span, const char *name, TimestampTz time, Jsonb *attributes);
extern void span_set_status(Span *span, SpanStatus status, const char *message);
extern void span_set_name(Span *span, const char *name);

#endif
