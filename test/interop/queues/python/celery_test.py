"""Celery over kombu's SQLAlchemy transport: the headers in a message's JSON.  Prints TAP lines."""

import logging
import os

from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor

from queue_test import documented, is_, linked_traces, new_database, plain, request

new_database()
PsycopgInstrumentor().instrument(enable_commenter=True)
from celery import Celery  # noqa: E402
from celery.contrib.testing.worker import start_worker  # noqa: E402

logging.disable(logging.CRITICAL)
seen = {}
URL = "postgresql+psycopg://{PGUSER}@127.0.0.1:{PGPORT}/{PGDATABASE}".format(**os.environ)
app = Celery("test", broker=f"sqla+{URL}", backend=f"db+{URL}")
app.conf.broker_connection_retry_on_startup = True


@app.task(bind=True, max_retries=2)
def report(self, fails=0):
    seen.setdefault(self.request.id, []).append(self.request.get("traceparent", "")[3:35])
    if self.request.retries < fails:
        raise self.retry(countdown=0)


# sent by other names, for a queue that no worker reads
@app.task
def item():
    pass


def traces(queue):
    """The traces of the messages that wait in a queue."""
    return [
        row[0]
        for row in plain(
            "SELECT otel.trace_id(otel.extract(payload, '{headers}')) FROM kombu_message m"
            " JOIN kombu_queue q ON q.id = m.queue_id WHERE q.name = %s ORDER BY m.id",
            queue,
        )
    ]


with start_worker(app, pool="solo", perform_ping_check=False):
    report.delay().get(timeout=30)
    plain(documented("capture.sql"))
    with request() as trace_id:
        result = report.delay()
    result.get(timeout=30)
    is_(
        seen[result.id],
        [trace_id],
        "a producer and a worker that ran before go on; the task sees it in its request",
    )
    with request() as trace_id:
        result = report.delay(fails=1)
    result.get(timeout=30)
    is_(seen[result.id], [trace_id] * 2, "a retry, which the worker sends, has the first's")

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
plain("SELECT otel.remove_capture('kombu_message', 'payload')")
with request():
    item.apply_async(queue="plain")
is_(traces("plain"), [None], "taken off, nothing is captured")
