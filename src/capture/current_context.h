/*
 * current_context.h: the context that a row gets.
 */
#ifndef OTEL_LINKS_CURRENT_CONTEXT_H
#define OTEL_LINKS_CURRENT_CONTEXT_H

#include "postgres.h"

/*
 * The current context: of the innermost open span, else of the first other source in use that
 * holds a valid one (ContextSource has their order), else NULL.  It belongs to a cache and is good
 * until the next call.
 */
extern const struct varlena *capture_current_context(void);

#endif
