/*
 * span_args.h: reads the arguments of the span functions.
 *
 * Misuse never breaks the work: it causes a warning with a hint, and the function does nothing or
 * goes on without the argument.  With otel.strict it is an error, raised before anything is
 * changed.  What is returned is in CurrentMemoryContext, or is the argument itself.
 */
#ifndef OTEL_LINKS_SPAN_ARGS_H
#define OTEL_LINKS_SPAN_ARGS_H

#include "postgres.h"
#include "fmgr.h"
#include "spans/span.h"

/* Raises a warning or, with otel.strict, an error.  Both strings are shown as they are. */
extern void span_misuse(int sqlerrcode, const char *message, const char *hint);

/* The text argument as a C string, or NULL when it is NULL. */
extern char *span_arg_text(FunctionCallInfo fcinfo, int n);

/* The name, or NULL (after a warning) when it is NULL or empty. */
extern const char *span_arg_name(FunctionCallInfo fcinfo, int n);

/* A JSON object, or NULL when it is NULL or (after a warning) something else. */
extern Jsonb *span_arg_attributes(FunctionCallInfo fcinfo, int n);

/*
 * The links of the array; none when it is NULL.  Attributes that are not an object are dropped with
 * a warning.
 */
extern SpanLink *span_arg_links(FunctionCallInfo fcinfo, int n, int *nlinks);

/* The context, or NULL. */
extern struct varlena *span_arg_context(FunctionCallInfo fcinfo, int n);

/*
 * A new span's parent: none when root is true, else the context given, or the current one when that
 * is NULL.
 */
extern const struct varlena *span_arg_parent(FunctionCallInfo fcinfo, int parent, int root);

/*
 * The time, or now when it is NULL or (after a warning) outside the years that OTLP can express.
 */
extern TimestampTz span_arg_time(FunctionCallInfo fcinfo, int n);

extern SpanKind span_arg_kind(FunctionCallInfo fcinfo, int n);
extern SpanScope span_arg_scope(FunctionCallInfo fcinfo, int n);
extern SpanStatus span_arg_status(FunctionCallInfo fcinfo, int n);

/*
 * The span that an argument names; NULL means the innermost.  Returns NULL after a warning when
 * there is none that can still be changed, and NULL without a warning when the SDK is disabled or
 * spans are being written to the queue.
 */
extern Span *span_arg_span(FunctionCallInfo fcinfo, int n);

#endif
