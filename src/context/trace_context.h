/*
 * trace_context.h: the layout of otel.trace_context and what C code does with it.
 *
 * A value is a varlena: 25 bytes and, if there is one, the normalised tracestate.  Every value is
 * valid: neither id is all zero, and the tracestate conforms to the grammar.  The payload needs no
 * alignment, so it can be read in place from a short-header datum: VARDATA_ANY points to a
 * TraceContext.
 */
#ifndef OTEL_LINKS_TRACE_CONTEXT_H
#define OTEL_LINKS_TRACE_CONTEXT_H

#include "postgres.h"
#include "fmgr.h"
#include "compat.h"
#include "context/w3c.h"

typedef struct TraceContext
{
	uint8		trace_flags;	/* as received; see w3c.h for versions above 00 */
	uint8		trace_id[W3C_TRACE_ID_SIZE];
	uint8		span_id[W3C_SPAN_ID_SIZE];
	char		trace_state[FLEXIBLE_ARRAY_MEMBER]; /* up to the end of the varlena, no NUL */
} TraceContext;

#define TRACE_CONTEXT_SIZE 25

StaticAssertDecl(offsetof(TraceContext, trace_state) == TRACE_CONTEXT_SIZE,
				 "TraceContext overlays stored bytes");

/* v is a detoasted (possibly short-header) datum */
#define TRACE_CONTEXT(v) ((const TraceContext *) VARDATA_ANY(v))
#define TRACE_STATE_LEN(v) (VARSIZE_ANY_EXHDR(v) - TRACE_CONTEXT_SIZE)
#define DatumGetTraceContextPP(d) ((struct varlena *) PG_DETOAST_DATUM_PACKED(d))
#define PG_GETARG_TRACE_CONTEXT_PP(n) DatumGetTraceContextPP(PG_GETARG_DATUM(n))

/*
 * A new value in CurrentMemoryContext (with a 4-byte header) from valid ids and flags and a
 * normalised tracestate (trace_state_len may be 0).
 */
extern struct varlena *trace_context_make(const W3cTraceparent *tp,
										  const char *trace_state, Size trace_state_len);

/*
 * The lenient reader that every from_* function and capture source calls: NULL when the traceparent
 * is invalid; an invalid tracestate is dropped.  tracestate may be NULL.  Raises only
 * out_of_memory.
 */
extern struct varlena *trace_context_from_headers(const char *traceparent, Size traceparent_len,
												  const char *tracestate, Size tracestate_len);

/*
 * The same for a text that holds a traceparent, or the type's text form (a traceparent, ";" and a
 * tracestate).  tracestate (may be NULL) goes with a traceparent that has none of its own.
 */
extern struct varlena *trace_context_from_text(const char *value, Size len,
											   const char *tracestate, Size tracestate_len);

/*
 * The strict reader that input functions and casts call: NULL when either header is invalid; *error
 * then says what is wrong with which field.  tracestate may be NULL.  Raises only out_of_memory.
 */
extern struct varlena *trace_context_parse(const char *traceparent, Size traceparent_len,
										   const char *tracestate, Size tracestate_len,
										   W3cError *error);

/* The traceparent to propagate as text, in CurrentMemoryContext. */
extern text *trace_context_traceparent(const struct varlena *value);

/* An id, or any bytes, as lower-case hexadecimal digits, in CurrentMemoryContext. */
extern text *trace_context_hex_text(const uint8 *bytes, Size size);

/* A copy of a value for an error message, cut to some 80 bytes, in CurrentMemoryContext. */
extern char *trace_context_clip(const char *value, Size len);

/* The traceparent to propagate, with the sampled and random flags only: 55 bytes, no NUL. */
extern void trace_context_propagated(const TraceContext *ctx, char out[W3C_TRACEPARENT_LEN]);

/* Is the sampled flag set?  value is detoasted; its header may be short. */
static inline bool
trace_context_is_sampled(const struct varlena *value)
{
	return (TRACE_CONTEXT(value)->trace_flags & W3C_FLAG_SAMPLED) != 0;
}

/* A copy of a detoasted value, whose header may be short, in that memory context. */
extern struct varlena *trace_context_copy(const struct varlena *value, MemoryContext memory);

/* Total order: trace id, span id, flags, tracestate, bytewise.  Both detoasted. */
extern int	trace_context_compare(const struct varlena *a, const struct varlena *b);

/* A hash of the whole value, consistent with trace_context_compare() = 0. */
extern uint32 trace_context_hash_value(const struct varlena *v);

#endif
