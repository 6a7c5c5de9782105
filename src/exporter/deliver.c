/*
 * deliver.c: sending a batch.
 *
 * Each request is settled as soon as its answer is there, so that a worker that is killed half way
 * through a batch that had to be halved sends as little as possible twice.
 *
 * A 400 is not retried by OpenTelemetry's rules, because the same request would fail again.  Its halves
 * are other requests, and the only way to find one span that a collector does not like among hundreds it
 * does.  When both halves fail at once, the fault is not a span's, and looking further would only multiply
 * the requests: the whole is set aside.
 *
 * A request that is cut short after some of its body was sent is retried, as it must be; but what is too
 * large for the link, or for a proxy that resets instead of answering 413, would fail for ever.  So the next
 * one is smaller (worker.c), down to one span, and one large span that failed so again and again is set aside.
 */
#include "postgres.h"

#include "exporter/deliver.h"
#include "exporter/response.h"
#include "exporter/settle.h"
#include "exporter/transport.h"

/*
 * A single span of more than LARGE_SPAN bytes is set aside after so many requests in a row that were cut
 * short: with the default time-out and the pauses between, a minute.  A smaller one waits for better days.
 */
#define LARGE_SPAN (1024 * 1024)
#define LARGE_SPAN_ATTEMPTS 5

typedef struct Sending
{
	const Batch *batch;
	const ExporterConfig *config;
	void		(*tick) (void);
	Delivery   *delivery;
	bool		stop;			/* nothing more of this batch is sent now */
	bool		accepted;		/* some of it was taken */
	bool		set_aside;		/* some of it was refused */
	bool		gave_up;		/* on a large span; the fault is that span's */
	char		error[sizeof(((Answer *) NULL)->message)];	/* the last; empty when there was none */
} Sending;

/* One line when exporting starts to fail, one when it works again, and not one an attempt. */
static void
log_outcome(bool failed, const char *error)
{
	static bool failing;

	if (failed && !failing)
		ereport(WARNING,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("otel_links exporter cannot export spans: %s", error),
				 errdetail("This is logged once, until spans are exported again."),
				 errhint("See otel.export_status.")));
	else if (!failed && failing)
		ereport(LOG, (errmsg("otel_links exporter exports spans again")));
	failing = failed;
}

/* Where most goes well, what does not is logged when it is not what was logged last. */
static void
log_complaint(const char *error)
{
	static char last[RESPONSE_MESSAGE_SIZE];

	if (strncmp(last, error, sizeof(last) - 1) == 0)
		return;
	strlcpy(last, error, sizeof(last));
	ereport(LOG, (errmsg("otel_links exporter: %s", error)));
}

/* Where the encoded spans from a row on begin. */
static size_t
start_of(const Sending *s, int row)
{
	return row > 0 ? s->batch->rows[row - 1].end : 0;
}

static void
post(Sending *s, int from, int to, Answer *result)
{
	size_t		start = start_of(s, from);
	size_t		end = start_of(s, to);
	ByteBuffer	body;

	buffer_init(&body);
	buffer_reserve(&body, end - start + 4096);
	envelope_put_request(&s->batch->envelope, s->batch->spans.buf.data + start, end - start, &body);
	transport_post(s->config, body.data, body.len, s->tick, result);
	pfree(body.data);
	if (result->outcome == OUTCOME_TOO_LARGE || (result->cut_short && to - from > 1))
		s->delivery->too_large = end - start;
}

static void
settle_range(Sending *s, int from, int to, Verdict verdict, const Answer *result)
{
	Settlement	settlement = {0};

	settlement.rows = s->batch->rows + from;
	settlement.count = to - from;
	settlement.filenode = s->batch->filenode;
	settlement.verdict = verdict;
	settlement.rejected = result->rejected;
	settlement.error = result->message[0] ? result->message : NULL;
	settle(&settlement, s->config);
}

static void
set_aside(Sending *s, int from, int to, const Answer *result)
{
	settle_range(s, from, to, VERDICT_FAILED, result);
	s->set_aside = true;
	strlcpy(s->error, result->message, sizeof(s->error));
}

/* After one more request with these rows that got no answer: is it time to give up on them? */
static bool
gives_up(const Sending *s, int from, int to, const Answer *result)
{
	static BatchRow stuck;
	static int	attempts;
	BatchRow   *row = &s->batch->rows[from];

	if (!result->cut_short || to - from > 1 || start_of(s, to) - start_of(s, from) <= LARGE_SPAN)
	{
		attempts = 0;
		return false;
	}
	if (attempts > 0 && (!ItemPointerEquals(&stuck.tid, &row->tid) || stuck.xmin != row->xmin))
		attempts = 0;
	stuck = *row;
	return ++attempts >= LARGE_SPAN_ATTEMPTS;
}

static void handle(Sending *s, int from, int to, const Answer *result);

static void
send_range(Sending *s, int from, int to)
{
	Answer	result;

	post(s, from, to, &result);
	handle(s, from, to, &result);
}

static void
bisect(Sending *s, int from, int to, const Answer *whole)
{
	int			middle = from + (to - from) / 2;
	Answer	left;
	Answer	right;

	post(s, from, middle, &left);
	if (left.outcome != OUTCOME_BAD_REQUEST)
	{
		handle(s, from, middle, &left);
		if (!s->stop)
			send_range(s, middle, to);
		return;
	}
	post(s, middle, to, &right);
	if (right.outcome == OUTCOME_BAD_REQUEST)
	{
		set_aside(s, from, to, whole);
		return;
	}
	handle(s, middle, to, &right);
	if (!s->stop)
		handle(s, from, middle, &left);
}

/* Does what the answer to the request with rows from to to-1 asks for. */
static void
handle(Sending *s, int from, int to, const Answer *result)
{
	switch (result->outcome)
	{
		case OUTCOME_ACCEPTED:
			settle_range(s, from, to, VERDICT_EXPORTED, result);
			s->accepted = true;
			if (result->message[0])
				strlcpy(s->error, result->message, sizeof(s->error));
			break;
		case OUTCOME_RETRY:
			if (gives_up(s, from, to, result))
			{
				set_aside(s, from, to, result);
				s->gave_up = true;
				break;
			}
			s->stop = true;
			s->delivery->keep_position = true;
			s->delivery->retry_after_ms = result->retry_after_ms;
			settle_error(result->message, s->config);
			strlcpy(s->error, result->message, sizeof(s->error));
			break;
		case OUTCOME_REFUSED:
			set_aside(s, from, to, result);
			s->stop = true;
			s->delivery->keep_position = true;	/* of what was not sent any more */
			s->delivery->retry_after_ms = result->retry_after_ms;
			break;
		case OUTCOME_TOO_LARGE:
		case OUTCOME_BAD_REQUEST:
			if (to - from == 1)
				set_aside(s, from, to, result);
			else if (result->outcome == OUTCOME_BAD_REQUEST)
				bisect(s, from, to, result);
			else
			{
				int			middle = from + (to - from) / 2;

				send_range(s, from, middle);
				if (!s->stop)
					send_range(s, middle, to);
			}
			break;
	}
}

void
deliver(const Batch *batch, const ExporterConfig *config, void (*tick) (void), Delivery *delivery)
{
	Sending		s = {0};

	s.batch = batch;
	s.config = config;
	s.tick = tick;
	s.delivery = delivery;
	memset(delivery, 0, sizeof(*delivery));
	delivery->retry_after_ms = -1;
	send_range(&s, 0, batch->count);

	/* A fault that is not a single span's must not empty the queue into the bin. */
	delivery->set_aside = s.set_aside;
	delivery->back_off = s.stop || (s.set_aside && !s.accepted && !s.gave_up);
	if (delivery->back_off || s.accepted)
		log_outcome(delivery->back_off, s.error);
	if (!delivery->back_off && s.error[0])
		log_complaint(s.error);
}
