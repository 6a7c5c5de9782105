/*
 * message_comment.c: the context in the comments of the client's statement.
 *
 * Remembers the last answer, and how far the message was read: this outlives changes of settings and spans,
 * which the cache of current_context.c does not.  Otherwise a function that records spans in a loop would
 * read a large message again and again, and a message of many statements would be read from its beginning
 * for each of them.
 */
#include "postgres.h"

#include "parser/parser.h"
#include "utils/memutils.h"

#include "capture/message_comment.h"
#include "capture/sqlcommenter.h"
#include "compat.h"
#include "context/trace_context.h"
#include "settings.h"

typedef struct MessageComments
{
	uint64		serial;			/* of the message */
	size_t		len;
	bool		has_backslash;
	size_t		boundary[2];	/* see sqlcommenter_find(); by the reading of literals */
	bool		searched;		/* is what follows the answer for this statement? */
	int			location;
	bool		ambiguous;
	struct varlena *context;	/* in TopMemoryContext, or NULL */
} MessageComments;

/*
 * What sqlcommenter_find() says of the statement.  Where the setting changed in this transaction, it is not
 * known with which value the message was parsed: both readings of its literals must agree, because a text in
 * one of them may pose as a comment in the other reading.
 */
static bool
find_in_comments(MessageComments *comments, const char *text, StatementPlace place,
				 SqlCommenterContext *found)
{
	SqlCommenterContext *other;
	bool		agree;

	if (!comments->ambiguous)
		return sqlcommenter_find(text, comments->len, place.location, place.length,
								 server_standard_conforming_strings,
								 &comments->boundary[server_standard_conforming_strings], found);
	other = palloc(sizeof(SqlCommenterContext));
	agree = sqlcommenter_find(text, comments->len, place.location, place.length, true,
							  &comments->boundary[true], found) &&
		sqlcommenter_find(text, comments->len, place.location, place.length, false,
						  &comments->boundary[false], other) &&
		memcmp(&found->traceparent, &other->traceparent, sizeof(found->traceparent)) == 0 &&
		found->tracestate_len == other->tracestate_len &&
		memcmp(found->tracestate, other->tracestate, found->tracestate_len) == 0;
	pfree(other);
	return agree;
}

const struct varlena *
message_comment_context(const ClientMessage *message, StatementPlace place)
{
	static MessageComments comments;
	SqlCommenterContext *found;
	bool		ambiguous;

	if (message->text == NULL)
		return NULL;
	if (comments.serial != message->serial)
	{
		comments.serial = message->serial;
		comments.len = strlen(message->text);
		comments.has_backslash = memchr(message->text, '\\', comments.len) != NULL;
		comments.boundary[false] = comments.boundary[true] = 0;
		comments.searched = false;
	}
	/* without a backslash the readings are the same */
	ambiguous = comments.has_backslash && otel_literals_changed_in_transaction();
	if (comments.searched && comments.location == place.location && comments.ambiguous == ambiguous)
		return comments.context;

	comments.searched = false;
	comments.location = place.location;
	comments.ambiguous = ambiguous;
	if (comments.context)
		pfree(comments.context);
	comments.context = NULL;
	found = palloc(sizeof(SqlCommenterContext));
	if (find_in_comments(&comments, message->text, place, found))
	{
		struct varlena *context = trace_context_make(&found->traceparent, found->tracestate,
													 found->tracestate_len);

		comments.context = MemoryContextAlloc(TopMemoryContext, VARSIZE_ANY(context));
		memcpy(comments.context, context, VARSIZE_ANY(context));
		pfree(context);
	}
	pfree(found);
	comments.searched = true;
	return comments.context;
}
