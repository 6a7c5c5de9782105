/*
 * current_context.h: the context that a new row gets.
 */
#ifndef OTEL_LINKS_CURRENT_CONTEXT_H
#define OTEL_LINKS_CURRENT_CONTEXT_H

#include "postgres.h"

/*
 * The current context: that of the innermost open span, or else of the first other source in use
 * that holds a valid one (in the order of ContextSource), or else NULL.  It belongs to a cache or a
 * source and is valid until the next call.
 */
extern const struct varlena *capture_current_context(void);

#endif
