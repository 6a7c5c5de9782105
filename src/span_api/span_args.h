/*
 * span_args.h: reads the arguments of the span functions.
 *
 * Misuse never breaks the work: it warns, with a hint, and the function does nothing or goes on
 * without the argument.  With otel.strict it is an error, raised before anything is changed.
 */
#ifndef OTEL_LINKS_SPAN_ARGS_H
#define OTEL_LINKS_SPAN_ARGS_H

#include "postgres.h"
#include "fmgr.h"
#include "spans/span.h"

/* A warning or, with otel.strict, an error; both strings are complete. */
extern void span_misuse(int sqlerrcode, const char *message, const char *hint);

/* The text argument as a C string, or NULL when it is NULL. */
extern char *span_arg_text(FunctionCallInfo fcinfo, int n);

/* The name, or NULL (after a warning) when it is NULL or empty. */
extern const char *span_arg_name(FunctionCallInfo fcinfo, int n);

/* A JSON object, or NULL when it is NULL or (after a warning) something else. */
extern Jsonb *span_arg_attributes(FunctionCallInfo fcinfo, int n);

/*
 * The links of the array, none when it is NULL; attributes that are no object are dropped with a
 * warning.
 */
extern SpanLink *span_arg_links(FunctionCallInfo fcinfo, int n, int *nlinks);

/* The context, or NULL. */
extern struct varlena *span_arg_context(FunctionCallInfo fcinfo, int n);

/*
 * A new span's parent: the context given, the current one when that is NULL; none when root is
 * true.
 */
extern const struct varlena *span_arg_parent(FunctionCallInfo fcinfo, int parent, int root);

/*
 * The time, or now when it is NULL or (after a warning) cannot be written as nanoseconds since
 * 1970.
 */
extern TimestampTz span_arg_time(FunctionCallInfo fcinfo, int n);

extern SpanKind span_arg_kind(FunctionCallInfo fcinfo, int n);
extern SpanScope span_arg_scope(FunctionCallInfo fcinfo, int n);
extern SpanStatus span_arg_status(FunctionCallInfo fcinfo, int n);

/*
 * The span an argument names: NULL is the innermost.  Returns NULL, after a warning, when there is
 * none that can still be changed, and NULL without one when the SDK is disabled or spans are being
 * written to the queue.
 */
extern Span *span_arg_span(FunctionCallInfo fcinfo, int n);

#endif
