/*
 * current_context.h: where the current trace context comes from.
 */
#ifndef OTEL_LINKS_CURRENT_CONTEXT_H
#define OTEL_LINKS_CURRENT_CONTEXT_H

#include "postgres.h"

/*
 * The current context: of the innermost open span, else of the first other source that holds a valid
 * one (current_context.c lists them), else NULL.  The value belongs to a cache: it is good until the next call.
 */
extern const struct varlena *capture_current_context(void);

#endif
