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
 */
#include "postgres.h"

#include "deliver.h"
#include "http.h"
#include "response.h"
#include "settle.h"

typedef struct Sending
{
	const Batch *batch;
	const ExporterConfig *config;
	void		(*tick) (void);
	Delivery   *delivery;
	bool		stop;			/* nothing more of this batch is sent now */
	bool		accepted;		/* some of it was taken */
	bool		set_aside;		/* some of it was refused */
	char		error[sizeof(((HttpResult *) NULL)->message)];	/* the last; empty when there was none */
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

static void
post(Sending *s, int from, int to, HttpResult *result)
{
	size_t		start = from > 0 ? s->batch->rows[from - 1].end : 0;
	size_t		end = s->batch->rows[to - 1].end;
	ByteBuffer		body;

	buffer_init(&body);
	buffer_reserve(&body, end - start + 4096);
	envelope_put_request(&s->batch->envelope, s->batch->spans.buf.data + start, end - start, &body);
	http_post(s->config, body.data, body.len, s->tick, result);
	pfree(body.data);
	if (result->outcome == HTTP_TOO_LARGE)
		s->delivery->too_large = end - start;
}

static void
settle_range(Sending *s, int from, int to, Verdict verdict, const HttpResult *result)
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
set_aside(Sending *s, int from, int to, const HttpResult *result)
{
	settle_range(s, from, to, VERDICT_FAILED, result);
	s->set_aside = true;
	strlcpy(s->error, result->message, sizeof(s->error));
}

static void handle(Sending *s, int from, int to, const HttpResult *result);

static void
send_range(Sending *s, int from, int to)
{
	HttpResult	result;

	post(s, from, to, &result);
	handle(s, from, to, &result);
}

static void
bisect(Sending *s, int from, int to, const HttpResult *whole)
{
	int			middle = from + (to - from) / 2;
	HttpResult	left;
	HttpResult	right;

	post(s, from, middle, &left);
	if (left.outcome != HTTP_BAD_REQUEST)
	{
		handle(s, from, middle, &left);
		if (!s->stop)
			send_range(s, middle, to);
		return;
	}
	post(s, middle, to, &right);
	if (right.outcome == HTTP_BAD_REQUEST)
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
handle(Sending *s, int from, int to, const HttpResult *result)
{
	switch (result->outcome)
	{
		case HTTP_ACCEPTED:
			settle_range(s, from, to, VERDICT_EXPORTED, result);
			s->accepted = true;
			if (result->message[0])
				strlcpy(s->error, result->message, sizeof(s->error));
			break;
		case HTTP_RETRY:
			s->stop = true;
			s->delivery->keep_position = true;
			s->delivery->retry_after_ms = result->retry_after_ms;
			settle_error(result->message, s->config);
			strlcpy(s->error, result->message, sizeof(s->error));
			break;
		case HTTP_REFUSED:
			set_aside(s, from, to, result);
			s->stop = true;
			s->delivery->keep_position = true;	/* of what was not sent any more */
			s->delivery->retry_after_ms = result->retry_after_ms;
			break;
		case HTTP_TOO_LARGE:
		case HTTP_BAD_REQUEST:
			if (to - from == 1)
				set_aside(s, from, to, result);
			else if (result->outcome == HTTP_BAD_REQUEST)
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
	delivery->back_off = s.stop || (s.set_aside && !s.accepted);
	log_outcome(delivery->back_off, s.error);
	if (!delivery->back_off && s.error[0])
		log_complaint(s.error);
}
