/*
 * answer.h: what the answer to a request means for the spans in it.
 */
#ifndef OTEL_EXPORTER_ANSWER_H
#define OTEL_EXPORTER_ANSWER_H

#include "postgres.h"

#include "exporter/headers.h"
#include "http/http.h"

/* What a batch's sender must do next. */
typedef enum Outcome
{
	OUTCOME_ACCEPTED,			/* 2xx */
	OUTCOME_RETRY,				/* 429, 502, 503, 504, or no answer at all */
	OUTCOME_TOO_LARGE,			/* 413, or a 400 that says so */
	OUTCOME_BAD_REQUEST,		/* 400 */
	OUTCOME_REFUSED				/* any other status, a web page, or a response that is too large */
} Outcome;

typedef struct Answer
{
	Outcome		outcome;
	long		retry_after_ms; /* -1: the server named no time */
	bool		cut_short;		/* some of the body was sent, and no answer came back */
	int64		rejected;		/* partial success: spans the server says it did not take */
	char		message[1024];	/* for people; empty when all went well */
} Answer;

/*
 * Reads what came of a request.  The message does not show the values of the request's headers.
 * Scratch memory is in CurrentMemoryContext.
 */
extern void answer_read(const HttpAnswer *raw, const RequestHeaders *headers,
						const ExporterConfig *config, Answer *answer);

/* For a request without any answer. */
extern void answer_set_error(Answer *answer, Outcome outcome, const char *message);

#endif
