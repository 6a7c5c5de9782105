/*
 * capture.h: where the current trace context comes from.
 */
#ifndef OTEL_LINKS_CAPTURE_H
#define OTEL_LINKS_CAPTURE_H

#include "postgres.h"

/*
 * The current context: of the innermost open span, else of the first other source that holds a valid
 * one (capture.c lists them), else NULL.  *is_own_span tells the first from the rest.  The value belongs
 * to the source or the cache: it is good until the statement goes on.
 */
extern const struct varlena *capture_current_context(bool *is_own_span);

#endif
