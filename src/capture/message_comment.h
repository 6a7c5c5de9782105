/*
 * message_comment.h: the context in the comments of the client's statement.
 */
#ifndef OTEL_LINKS_MESSAGE_COMMENT_H
#define OTEL_LINKS_MESSAGE_COMMENT_H

#include "postgres.h"

#include "capture/client_message.h"

/*
 * The context that the comments of the message's statement at that place hold, or NULL.  It belongs to this
 * file and is good until the next call.  Whether the message is to be trusted is the caller's business.
 */
extern const struct varlena *message_comment_context(const ClientMessage *message, StatementPlace place);

#endif
