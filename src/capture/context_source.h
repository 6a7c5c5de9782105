/*
 * context_source.h: the sources of the current context, one by one.
 *
 * Owns what each of them holds, and why it holds nothing.  Does not own their order, nor what is
 * kept from one call to the next (current_context.c).
 */
#ifndef OTEL_LINKS_CONTEXT_SOURCE_H
#define OTEL_LINKS_CONTEXT_SOURCE_H

#include "postgres.h"

#include "capture/capture_settings.h"
#include "capture/client_message.h"

/* What the sources look at. */
typedef struct CaptureSituation
{
	const ClientMessage *message;
	Portal		portal;			/* the client's, or NULL */
	StatementPlace place;		/* of its statement */
} CaptureSituation;

/* Inline, because it may be called for every row. */
static inline CaptureSituation
capture_situation(void)
{
	CaptureSituation situation;

	situation.message = client_message();
	situation.portal = client_message_portal();
	situation.place = client_message_statement(situation.portal);
	return situation;
}

/*
 * The context of a source, whether or not the source is in use, or NULL.  It is in
 * CurrentMemoryContext, or belongs to the source and is valid until the next call.  If why is not
 * NULL, it gets the reason for a NULL: a text without a final dot, in CurrentMemoryContext.
 */
extern const struct varlena *context_source_read(ContextSource source,
												 const CaptureSituation *situation, char **why);

/* The text that a source holds, to be shown to people, or NULL. */
extern const char *context_source_text(ContextSource source, const CaptureSituation *situation);

#endif
