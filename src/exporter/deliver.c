/*
 * deliver.c: batches on their way, and what each kind of answer leads to.
 *
 * A batch begins as one request.  A request that is too large is cut in halves, down to a single
 * span, which is set aside.  A request that gets a 400 is cut as well.  OpenTelemetry does not let
 * us send the same request again, because it would fail again; but its halves are other requests,
 * and cutting is the only way to find the few spans that a collector does not like.  The number of
 * such requests is limited, and a batch of which nothing at all is accepted is given up early: then
 * no single span is at fault.
 *
 * A span that is refused holds up no other.  An answer that is not about the spans stops the
 * sending: requests under way are still settled, and the rest stays in the queue.  After a failure,
 * one request is made at a time until one is accepted; each accepted one allows one more at a time.
 * So a wrong token does not have many batches set aside at once, and a collector that comes back is
 * not flooded.
 *
 * A request that is cut short after some of its body was sent is retried, as it must be.  But one
 * that is too large for the link, or for a proxy that resets the connection instead of answering
 * 413, would fail for ever.  So the next request is smaller (worker.c), down to one span.  A large
 * span that fails this way is passed over for a while, and set aside after some attempts.
 */
#include "postgres.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "exporter/answer.h"
#include "exporter/deliver.h"
#include "exporter/export_log.h"
#include "exporter/settle.h"
#include "exporter/transport.h"
#include "monotonic.h"

/* deliver_step() returns after this time at the latest. */
#define STEP_MS 500

/* Maximum bytes of all batches under way; a single batch may exceed it. */
#define MAX_BYTES_UNDER_WAY (4 * 1024 * 1024)

/* Maximum requests of a batch that may get a 400: at all, and while none has been accepted. */
#define MAX_BAD_REQUESTS 64
#define HOPELESS_BAD_REQUESTS 15

/*
 * After this many batches of one span in a row got a 400, the spans are not taken to be at fault.
 */
#define MAX_REFUSED_SINGLES 4

/*
 * A single span of more than LARGE_SPAN bytes is set aside after this many requests that were cut
 * short.  Between them are pauses, each twice as long as the last, in which other spans are sent.
 * A smaller span is retried without an end.
 */
#define LARGE_SPAN (1024 * 1024)
#define LARGE_SPAN_ATTEMPTS 5
#define LARGE_SPAN_PAUSE_MS 1000

/* Memory that a batch of this size leaves behind is given back to the system at once. */
#define LARGE_BATCH (8 * 1024 * 1024)

/* The rows of a batch that make one request; to is not included. */
typedef struct Range
{
	int			from;
	int			to;
} Range;

/* A batch under way. */
typedef struct Delivery
{
	dlist_node	node;			/* of deliveries */
	Batch	   *batch;
	MemoryContext context;		/* of the batch and all this */
	List	   *ranges;			/* to be sent */
	int			under_way;		/* requests */
	int64		deadline_ms;	/* monotonic; 0: none */
	int			bad_requests;
	bool		accepted;		/* the collector accepted some of it */
	bool		refused;		/* some of it was set aside after a 400 */
	char	   *last_error;		/* of the last request that got a 400 */
} Delivery;

typedef struct Request
{
	Delivery   *delivery;
	Range		range;
	size_t		size;			/* of the encoded spans */
	RequestHeaders headers;
	MemoryContext context;
} Request;

static dlist_head deliveries = DLIST_STATIC_INIT(deliveries);
static int	queued;				/* ranges that are not sent yet, of all batches */
static size_t bytes_under_way;	/* of all batches */
static Outlook outlook;

/* How many requests may be under way: up to the setting, one after a failure. */
static int	window = 1;
static bool fresh;				/* until a request is accepted, each gets a new connection */
static int	refused_singles;	/* in a row */

/* ---- what becomes of rows ---- */

/* Where a row's span begins in the encoded spans; for batch->count, where they end. */
static size_t
start_of(const Batch *batch, int row)
{
	return row > 0 ? batch->rows[row - 1].end : 0;
}

/* Rows of the batch stay in the queue: has it read again from the batch's first row. */
static void
keep_rows(const Delivery *d)
{
	if (!ItemPointerIsValid(&outlook.resume) ||
		ItemPointerCompare(&outlook.resume, &d->batch->first) > 0)
		outlook.resume = d->batch->first;
}

static void
settle_range(const Delivery *d, Range range, Verdict verdict, const Answer *answer,
			 const ExporterConfig *config)
{
	Settlement	settlement = {0};

	settlement.rows = d->batch->rows + range.from;
	settlement.count = range.to - range.from;
	settlement.filenode = d->batch->filenode;
	settlement.verdict = verdict;
	settlement.rejected = answer->rejected;
	settlement.error = answer->message[0] ? answer->message : NULL;
	settle(&settlement, config);
}

static void
set_aside(Delivery *d, Range range, const Answer *answer, const ExporterConfig *config)
{
	settle_range(d, range, VERDICT_FAILED, answer, config);
}

/* Sends nothing more for now; requests under way continue. */
static void
stop(const Answer *answer)
{
	outlook.stop = true;
	outlook.retry_after_ms = Max(outlook.retry_after_ms, answer->retry_after_ms);
	window = 1;
	export_log_failure(answer->message);
}

static void
halve(Delivery *d, Range range)
{
	int			middle = range.from + (range.to - range.from) / 2;
	MemoryContext old = MemoryContextSwitchTo(d->context);
	Range	   *halves = palloc(2 * sizeof(Range));

	halves[0].from = range.from;
	halves[0].to = halves[1].from = middle;
	halves[1].to = range.to;
	d->ranges = lappend(lappend(d->ranges, &halves[0]), &halves[1]);
	queued += 2;
	MemoryContextSwitchTo(old);
}

static bool
is_single(Range range)
{
	return range.to - range.from == 1;
}

static void
handle_accepted(Delivery *d, Range range, const Answer *answer, const ExporterConfig *config)
{
	settle_range(d, range, VERDICT_EXPORTED, answer, config);
	d->accepted = outlook.accepted = true;
	outlook.small_enough++;
	refused_singles = 0;
	fresh = false;
	window++;					/* requests_allowed() has the setting's say */
	export_log_success();
	if (answer->message[0])
		export_log_complaint(answer->message);
}

static void
handle_too_large(Delivery *d, Range range, size_t size, const Answer *answer,
				 const ExporterConfig *config)
{
	outlook.too_large = size;
	if (!is_single(range))
	{
		halve(d, range);
		return;
	}
	set_aside(d, range, answer, config);
	export_log_complaint(answer->message);
}

/* Is it pointless to cut the batch any further?  So many 400s, and nothing was accepted. */
static bool
is_hopeless(const Delivery *d)
{
	return !d->accepted && d->bad_requests >= HOPELESS_BAD_REQUESTS;
}

static void
handle_bad_request(Delivery *d, Range range, const Answer *answer, const ExporterConfig *config)
{
	d->bad_requests++;
	d->last_error = MemoryContextStrdup(d->context, answer->message);
	if (!is_single(range) && d->bad_requests <= MAX_BAD_REQUESTS && !is_hopeless(d))
	{
		halve(d, range);
		return;
	}
	set_aside(d, range, answer, config);
	d->refused = true;
}

static void
handle_retry(Delivery *d, Range range, size_t size, const Answer *answer,
			 const ExporterConfig *config)
{
	BatchRow   *row = &d->batch->rows[range.from];

	if (answer->cut_short && is_single(range) && size > LARGE_SPAN)
	{
		if (batch_postpone(row, LARGE_SPAN_PAUSE_MS) < LARGE_SPAN_ATTEMPTS)
			settle_error(answer->message, config);
		else
		{
			set_aside(d, range, answer, config);
			export_log_complaint(answer->message);
		}
		fresh = true;
		return;
	}
	if (answer->cut_short && !is_single(range))
		outlook.too_large = size;
	keep_rows(d);
	settle_error(answer->message, config);
	fresh = true;
	stop(answer);
}

static void
handle_answer(Delivery *d, Range range, size_t size, const Answer *answer,
			  const ExporterConfig *config)
{
	switch (answer->outcome)
	{
		case OUTCOME_ACCEPTED:
			handle_accepted(d, range, answer, config);
			break;
		case OUTCOME_TOO_LARGE:
			handle_too_large(d, range, size, answer, config);
			break;
		case OUTCOME_BAD_REQUEST:
			handle_bad_request(d, range, answer, config);
			break;
		case OUTCOME_RETRY:
			handle_retry(d, range, size, answer, config);
			break;
		case OUTCOME_REFUSED:
			set_aside(d, range, answer, config);
			outlook.spans_left = true;
			fresh = true;
			stop(answer);
			break;
	}
}

/* ---- sending ---- */

static int
requests_allowed(const ExporterConfig *config)
{
	window = Min(window, config->max_concurrent_requests);
	return window;
}

/* How long a request may take: until the batch's deadline, and no longer than its own time-out. */
static long
time_left(const Delivery *d, const ExporterConfig *config)
{
	int64		left;

	if (d->deadline_ms == 0)
		return config->request_timeout_ms;
	left = Max(d->deadline_ms - monotonic_ms(), 1);
	return config->request_timeout_ms > 0 ? Min(left, config->request_timeout_ms) : left;
}

/* Starts a request for some rows.  One that cannot be made is handled as if it were answered. */
static void
send_range(Delivery *d, Range range, const ExporterConfig *config)
{
	const Batch *batch = d->batch;
	size_t		start = start_of(batch, range.from);
	size_t		size = start_of(batch, range.to) - start;
	MemoryContext context = AllocSetContextCreate(d->context, "otel request", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Request    *request = palloc0(sizeof(Request));
	TransportRequest transport = {0};
	ByteBuffer	body;
	const char *problem;
	Answer		answer;

	problem = config->url ? headers_make(&request->headers, config) : config->url_problem;
	buffer_init(&body);
	buffer_reserve(&body, size + 4096);
	envelope_put_request(&batch->envelope, batch->spans.buf.data + start, size, &body);
	MemoryContextSwitchTo(old);
	if (problem || body.len > config->max_request_size)
	{
		if (problem)
			answer_set_error(&answer, OUTCOME_RETRY, problem);
		else
			answer_set_error(&answer, OUTCOME_TOO_LARGE,
							 "larger than otel.exporter_max_request_size");
		MemoryContextDelete(context);
		handle_answer(d, range, size, &answer, config);
		return;
	}
	request->delivery = d;
	request->range = range;
	request->size = size;
	request->context = context;
	transport.headers = &request->headers;
	transport.body = body.data;
	transport.len = body.len;
	transport.timeout_ms = time_left(d, config);
	transport.fresh = fresh;
	transport.owner = request;
	transport_submit(config, &transport);
	d->under_way++;
}

/* Does not send the ranges that are left: their rows will be read again. */
static void
drop_ranges(Delivery *d)
{
	if (d->ranges == NIL)
		return;
	queued -= list_length(d->ranges);
	d->ranges = NIL;
	keep_rows(d);
}

/* Sets aside the unsent rest of a batch that is refused however it is split. */
static void
give_up(Delivery *d, const ExporterConfig *config)
{
	Answer		answer;

	answer_set_error(&answer, OUTCOME_BAD_REQUEST, d->last_error);
	while (d->ranges != NIL)
	{
		Range	   *range = linitial(d->ranges);

		d->ranges = list_delete_first(d->ranges);
		queued--;
		set_aside(d, *range, &answer, config);
	}
	d->refused = true;
}

static void
finish(Delivery *d)
{
	size_t		size = d->batch->spans.buf.len;
	bool		single = d->batch->count == 1;

	dlist_delete(&d->node);
	bytes_under_way -= size;
	if (d->refused && !d->accepted && (!single || ++refused_singles >= MAX_REFUSED_SINGLES))
	{
		Answer		answer;

		answer_set_error(&answer, OUTCOME_REFUSED, d->last_error);
		outlook.spans_left = true;
		stop(&answer);
	}
	else if (d->refused)
		export_log_complaint(d->last_error);
	MemoryContextDelete(d->context);
#ifdef __GLIBC__
	if (size > LARGE_BATCH)
		(void) malloc_trim(0);
#endif
}

/* Sends what may be sent now, and finishes batches of which nothing is left. */
static void
pump(const ExporterConfig *config)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &deliveries)
	{
		Delivery   *d = dlist_container(Delivery, node, iter.cur);

		while (d->ranges != NIL && !outlook.stop && !is_hopeless(d) &&
			   transport_pending() < requests_allowed(config))
		{
			Range	   *range = linitial(d->ranges);

			if (d->deadline_ms != 0 && monotonic_ms() >= d->deadline_ms)
			{
				/* If some of it was accepted, the rest is simply sent with the next batch. */
				if (!d->accepted)
				{
					Answer		answer;

					answer_set_error(&answer, OUTCOME_RETRY, "otel.bsp_export_timeout has passed");
					settle_error(answer.message, config);
					stop(&answer);
				}
				drop_ranges(d);
				break;
			}
			d->ranges = list_delete_first(d->ranges);
			queued--;
			send_range(d, *range, config);
		}
		if (is_hopeless(d))
			give_up(d, config);
		if (outlook.stop)
			drop_ranges(d);
		if (d->ranges == NIL && d->under_way == 0)
			finish(d);
	}
}

/* ---- the interface ---- */

void
deliver_begin(void)
{
	memset(&outlook, 0, sizeof(outlook));
	outlook.retry_after_ms = -1;
	ItemPointerSetInvalid(&outlook.resume);
}

bool
deliver_is_busy(void)
{
	return !dlist_is_empty(&deliveries);
}

const Outlook *
deliver_outlook(void)
{
	return &outlook;
}

bool
deliver_has_room(const ExporterConfig *config)
{
	return !outlook.stop && queued == 0 &&
		transport_pending() < requests_allowed(config) &&
		(bytes_under_way == 0 || bytes_under_way < MAX_BYTES_UNDER_WAY);
}

void
deliver_start(Batch *batch, MemoryContext context, const ExporterConfig *config)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	Delivery   *d = palloc0(sizeof(Delivery));
	Range	   *range = palloc(sizeof(Range));

	range->from = 0;
	range->to = batch->count;
	d->batch = batch;
	d->context = context;
	d->ranges = list_make1(range);
	if (config->batch_timeout_ms > 0)
		d->deadline_ms = monotonic_ms() + config->batch_timeout_ms;
	queued++;
	bytes_under_way += batch->spans.buf.len;
	dlist_push_tail(&deliveries, &d->node);
	MemoryContextSwitchTo(old);
	pump(config);
}

bool
deliver_step(const ExporterConfig *config, void (*tick) (void))
{
	HttpAnswer	raw;
	bool		latch_set = false;
	bool		any = false;

	pump(config);
	if (transport_pending() > 0)
		latch_set = transport_wait(STEP_MS);
	CHECK_FOR_INTERRUPTS();
	tick();
	while (transport_take(&raw))
	{
		Request    *request = raw.owner;
		Delivery   *d = request->delivery;
		Range		range = request->range;
		size_t		size = request->size;
		Answer		answer;

		answer_read(&raw, &request->headers, config, &answer);
		MemoryContextDelete(request->context);
		d->under_way--;
		handle_answer(d, range, size, &answer, config);
		any = true;
	}
	if (any)
		pump(config);
	return latch_set;
}

void
deliver_cancel(void)
{
	transport_cancel();
	dlist_init(&deliveries);
	queued = 0;
	bytes_under_way = 0;
	window = 1;
	fresh = true;
	deliver_begin();
}
