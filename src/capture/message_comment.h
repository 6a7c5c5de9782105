/*
 * message_comment.h: the context in the comments of the client's statement.
 */
#ifndef OTEL_LINKS_MESSAGE_COMMENT_H
#define OTEL_LINKS_MESSAGE_COMMENT_H

#include "postgres.h"

#include "capture/client_message.h"
#include "context/w3c.h"

/*
 * The context that the comments of the message hold for its statement at that place, or NULL.  It
 * belongs to this file and is valid until the next call.  The caller decides whether the message is
 * to be trusted.
 */
extern const struct varlena *message_comment_context(const ClientMessage *message,
													 StatementPlace place);

/*
 * After a call that returned NULL, the reason: a text without a final dot, in CurrentMemoryContext.
 */
extern char *message_comment_reason(void);

/* The same for an invalid traceparent, of any source. */
extern char *malformed_reason(W3cError error);

#endif
