"""Celery over kombu's SQLAlchemy transport: the headers in a message's JSON.  Prints TAP lines."""

import logging
import os

from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor

from queue_test import (
    catalog,
    client_traces,
    documented,
    exporter,
    is_,
    linked_traces,
    new_database,
    plain,
    request,
    row_traces,
)

new_database()
PsycopgInstrumentor().instrument(enable_commenter=True)
import psycopg  # noqa: E402
from celery import Celery, group  # noqa: E402
from celery.contrib.testing.worker import start_worker  # noqa: E402

logging.disable(logging.CRITICAL)
seen = {}
URL = "postgresql+psycopg://{PGUSER}@127.0.0.1:{PGPORT}/{PGDATABASE}".format(**os.environ)
app = Celery("test", broker=f"sqla+{URL}", backend=f"db+{URL}")
app.conf.broker_connection_retry_on_startup = True
# a task's message as Celery documents it, sent by SQL
BY_SQL = """
    INSERT INTO kombu_message (id, visible, version, queue_id, payload)
    SELECT nextval('message_id_sequence'), true, 1, q.id, json_build_object(
        'body', encode('[[], {}, {}]', 'base64'),
        'content-type', 'application/json', 'content-encoding', 'utf-8',
        'headers', json_build_object('lang', 'py', 'task', %(task)s::text, 'id', %(id)s::text),
        'properties', json_build_object('correlation_id', %(id)s::text, 'delivery_mode', 2,
            'delivery_info', json_build_object('exchange', '', 'routing_key', q.name),
            'priority', 0, 'body_encoding', 'base64', 'delivery_tag', %(id)s::text))::text
      FROM kombu_queue q WHERE q.name = 'celery'"""


@app.task(bind=True, max_retries=2)
def report(self, fails=0):
    seen.setdefault(self.request.id, []).append(self.request.get("traceparent", ""))
    if self.request.retries < fails:
        raise self.retry(countdown=0)


@app.task(bind=True)
def measure(self, text):
    seen.setdefault(self.request.id, []).append(self.request.get("traceparent", ""))
    return len(text)


@app.task(bind=True)
def fail(self):
    seen.setdefault(self.request.id, []).append(self.request.get("traceparent", ""))
    raise RuntimeError("as the test wants it")


# sent by other names, for a queue that no worker reads
@app.task
def item():
    pass


def traces(queue):
    """The traces of the messages that wait in a queue."""
    return row_traces(
        "SELECT otel.traceparent(otel.extract(payload, '{headers}')) FROM kombu_message m"
        " JOIN kombu_queue q ON q.id = m.queue_id WHERE q.name = %s ORDER BY m.id",
        queue,
    )


def messages(task):
    """The traces of the messages of a task, which stay in the table when they are done."""
    return row_traces(
        "SELECT otel.traceparent(otel.extract(payload, '{headers}')) FROM kombu_message"
        " WHERE payload::json -> 'headers' ->> 'id' = %s ORDER BY id",
        task,
    )


with start_worker(app, pool="solo", perform_ping_check=False):
    report.delay().get(timeout=30)
    before = catalog("kombu_message")
    plain(documented("capture.sql"))
    with request() as trace_id:
        result = report.delay()
    result.get(timeout=30)
    is_(
        client_traces(seen[result.id]),
        [trace_id],
        "a producer and a worker that ran before go on; the task sees it in its request",
    )
    with request() as trace_id:
        result = report.delay(fails=1)
    result.get(timeout=30)
    is_(
        client_traces(seen[result.id]),
        [trace_id] * 2,
        "a retry, which the worker sends, has the first's",
    )
    with request() as trace_id:
        result = report.delay(fails=9)
    result.get(timeout=30, propagate=False)
    is_(
        (result.state, client_traces(seen[result.id]), messages(result.id)),
        ("FAILURE", [trace_id] * 3, [trace_id] * 3),
        "a task that fails for good after all its retries keeps it, and so do its messages",
    )
    with request() as trace_id:
        result = fail.delay()
    result.get(timeout=30, propagate=False)
    is_(
        (result.state, client_traces(seen[result.id]), messages(result.id)),
        ("FAILURE", [trace_id], [trace_id]),
        "a task that fails at once keeps it, and so does its message",
    )
    with request() as trace_id:
        results = group(report.s() for _ in range(3)).delay()
    results.get(timeout=30)
    is_(
        [client_traces(seen[result.id]) for result in results],
        [[trace_id]] * 3,
        "the tasks of a group",
    )
    with request() as trace_id:
        result = measure.delay("x" * 10_000_000)
    is_(
        (result.get(timeout=60), client_traces(seen[result.id])),
        (10_000_000, [trace_id]),
        "a message of 10 MB",
    )
    with request() as trace_id, psycopg.connect(autocommit=True) as connection:
        connection.execute(BY_SQL, {"task": report.name, "id": "by-sql"})
    app.AsyncResult("by-sql").get(timeout=30)
    is_(client_traces(seen["by-sql"]), [trace_id], "a task that SQL sends")

expected = []
for _ in range(20):
    with request() as trace_id:
        item.apply_async(queue="items")
    expected.append(trace_id)
is_(traces("items"), expected, "every message has its request's context")
is_(
    sorted(linked_traces(documented("batch.sql"))),
    sorted(expected),
    "a batch span is linked to every message",
)
with request() as trace_id:
    item.apply_async(queue="pickled", serializer="pickle")
is_(traces("pickled"), [trace_id], "a task whose arguments are pickled")
CeleryInstrumentor().instrument()
with request() as trace_id:
    item.apply_async(queue="instrumented")
CeleryInstrumentor().uninstrument()
[producer] = [span for span in exporter.get_finished_spans() if span.kind.name == "PRODUCER"]
is_(
    (
        traces("instrumented"),
        plain(
            "SELECT otel.span_id(otel.extract(payload, '{headers}')) FROM kombu_message"
            " ORDER BY id DESC LIMIT 1"
        ),
    ),
    ([trace_id], [(f"{producer.context.span_id:016x}",)]),
    "the context that OpenTelemetry's instrumentation of Celery sends stays",
)
plain("SELECT otel.remove_capture('kombu_message', 'payload')")
with request():
    item.apply_async(queue="plain")
is_(traces("plain"), [None], "taken off, nothing is captured")
is_(catalog("kombu_message"), before, "and the catalog has the table as it was")
