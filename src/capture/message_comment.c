/*
 * message_comment.c: the context in the comments of the client's statement.
 *
 * Keeps the last answer, and how far the message was read.  Unlike the caches of contexts, this
 * stays when settings and spans change; otherwise a function that records spans in a loop would
 * read a large message again and again.
 *
 * If standard_conforming_strings changed in this transaction, nobody knows with which value the
 * message was parsed, and what is text with one value may look like a comment with the other.  A
 * message without a backslash is the same with both.  In any other message, both must give the same
 * single context.
 */
#include "postgres.h"

#include "parser/parser.h"
#include "utils/memutils.h"

#include "capture/message_comment.h"
#include "capture/sqlcommenter.h"
#include "compat.h"
#include "context/trace_context.h"
#include "setting_entry.h"

typedef struct MessageComments
{
	uint64		serial;			/* of the message */
	bool		ambiguous;
	int			has_backslash;	/* -1: not looked at yet */
	int			readings_agree; /* -1: not looked at yet */
	SqlCommenterMessage text;
	bool		searched;		/* are the fields below the answer for place? */
	StatementPlace place;
	const char *reason;			/* constant; NULL: an invalid traceparent */
	struct varlena *context;	/* in TopMemoryContext, or NULL */
} MessageComments;

static MessageComments comments;

/* Can the message be read in two ways? */
static bool
is_ambiguous(const ClientMessage *message)
{
	if (!otel_literals_changed_in_transaction())
		return false;
	if (comments.has_backslash < 0)
		comments.has_backslash = strchr(message->text, '\\') != NULL;
	return comments.has_backslash;
}

static void
comments_open(const ClientMessage *message, bool ambiguous)
{
	comments.ambiguous = ambiguous;
	comments.readings_agree = -1;
	comments.searched = false;
	sqlcommenter_open(&comments.text, message->text, strlen(message->text),
					  server_standard_conforming_strings);
}

/* Is there only one context with either way of reading literals, and is it the same? */
static bool
compare_readings(const SqlCommenterContext *found)
{
	SqlCommenterMessage *message;
	SqlCommenterContext *other;
	bool		agree;

	if (!sqlcommenter_has_one_context(&comments.text))
		return false;
	message = palloc(sizeof(SqlCommenterMessage));
	other = palloc(sizeof(SqlCommenterContext));
	sqlcommenter_open(message, comments.text.sql, comments.text.len,
					  !server_standard_conforming_strings);
	agree = sqlcommenter_has_one_context(message) &&
		sqlcommenter_find(message, -1, -1, other) == SQLCOMMENTER_FOUND &&
		memcmp(&found->traceparent, &other->traceparent, sizeof(found->traceparent)) == 0 &&
		found->tracestate_len == other->tracestate_len &&
		memcmp(found->tracestate, other->tracestate, found->tracestate_len) == 0;
	pfree(message);
	pfree(other);
	return agree;
}

/* The same, but computed once for a message: a single context is that of all its statements. */
static bool
readings_agree(const SqlCommenterContext *found)
{
	if (comments.readings_agree < 0)
		comments.readings_agree = compare_readings(found);
	return comments.readings_agree;
}

/* The reason as a constant; NULL for an invalid traceparent (see malformed_reason()). */
static const char *
reason(SqlCommenterResult result)
{
	switch (result)
	{
		case SQLCOMMENTER_FOUND:
		case SQLCOMMENTER_MALFORMED:
			break;
		case SQLCOMMENTER_NONE:
			return "no comment of the statement has a traceparent";
		case SQLCOMMENTER_OTHER_STATEMENT:
			return "the contexts in the message belong to its other statements";
		case SQLCOMMENTER_TRACES_DIFFER:
			return "the statement's comments hold contexts of different traces";
		case SQLCOMMENTER_PLACE_UNKNOWN:
			return "the message holds several contexts, and it is not known which statement "
				"is running";
	}
	return NULL;
}

/* Finds, and keeps, the answer for the statement at that place. */
static void
comments_search(StatementPlace place)
{
	SqlCommenterContext *found = palloc(sizeof(SqlCommenterContext));
	SqlCommenterResult result;

	comments.searched = false;
	comments.place = place;
	if (comments.context)
		pfree(comments.context);
	comments.context = NULL;
	result = sqlcommenter_find(&comments.text, place.location, place.length, found);
	comments.reason = reason(result);
	if (result == SQLCOMMENTER_FOUND && comments.ambiguous && !readings_agree(found))
		comments.reason = "standard_conforming_strings changed in this transaction, "
			"so it is not known what is a comment";
	else if (result == SQLCOMMENTER_FOUND)
	{
		struct varlena *context = trace_context_make(&found->traceparent, found->tracestate,
													 found->tracestate_len);

		comments.context = trace_context_copy(context, TopMemoryContext);
		pfree(context);
	}
	pfree(found);
	comments.searched = true;
}

const struct varlena *
message_comment_context(const ClientMessage *message, StatementPlace place)
{
	if (message->text == NULL)
	{
		comments.reason = "no message of a client is running";
		return NULL;
	}
	if (comments.serial != message->serial)
	{
		comments.has_backslash = -1;
		comments_open(message, is_ambiguous(message));
		comments.serial = message->serial;
	}
	else if (comments.ambiguous != is_ambiguous(message))
		comments_open(message, !comments.ambiguous);
	if (!comments.searched || comments.place.location != place.location ||
		comments.place.length != place.length)
		comments_search(place);
	return comments.context;
}

char *
message_comment_reason(void)
{
	if (comments.reason == NULL)
		return malformed_reason(sqlcommenter_error(&comments.text));
	return pstrdup(comments.reason);
}

char *
malformed_reason(W3cError error)
{
	char	   *reason = psprintf("malformed: %s", w3c_error_detail(error));
	char	   *sentence = reason + strlen("malformed: ");

	*sentence = pg_ascii_tolower((unsigned char) *sentence);
	sentence[strlen(sentence) - 1] = '\0';
	return reason;
}
