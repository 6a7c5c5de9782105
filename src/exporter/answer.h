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
	OUTCOME_RETRY,				/* 429, 502, 503, 504, and whatever did not get an answer */
	OUTCOME_TOO_LARGE,			/* 413, or a 400 that says so */
	OUTCOME_BAD_REQUEST,		/* 400 */
	OUTCOME_REFUSED				/* any other answer, and a page in the place of one */
} Outcome;

typedef struct Answer
{
	Outcome		outcome;
	long		retry_after_ms; /* -1: the server named no time */
	bool		cut_short;		/* the body, or some of it, went out and no answer came back */
	int64		rejected;		/* partial success: spans the server says it did not take */
	char		message[1024];	/* for people; empty when all went well */
} Answer;

/* Reads what came of a request with these headers, whose values the message does not show. */
extern void answer_read(const HttpAnswer *raw, const RequestHeaders *headers,
						const ExporterConfig *config, Answer *answer);

/* For a request without any answer. */
extern void answer_set_error(Answer *answer, Outcome outcome, const char *message);

#endif
