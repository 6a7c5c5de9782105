"""DBOS: a column of its table of workflows.  Prints TAP lines."""

import logging

from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor

from queue_test import documented, is_, linked_traces, new_database, plain, request

URL = new_database()
PsycopgInstrumentor().instrument(enable_commenter=True)
from dbos import DBOS  # noqa: E402

logging.disable(logging.CRITICAL)
DBOS(config={"name": "test", "system_database_url": URL, "log_level": "CRITICAL"})
attempts = []


@DBOS.step(retries_allowed=True, interval_seconds=0.01, max_attempts=3)
def step(fails):
    attempts.append(fails)
    if len(attempts) < fails:
        raise RuntimeError("as the test wants it")


@DBOS.workflow()
def report(fails=0):
    step(fails)


def stored(*handles):
    return [
        plain(
            "SELECT otel.trace_id(otel_context) FROM dbos.workflow_status WHERE workflow_uuid = %s",
            handle.workflow_id,
        )[0][0]
        for handle in handles
    ]


DBOS.launch()
DBOS.register_queue("work", polling_interval_sec=0.1)
try:
    DBOS.enqueue_workflow("work", report).get_result()
    plain(documented("capture.sql"))
    with request() as trace_id:
        handle = DBOS.enqueue_workflow("work", report)
    handle.get_result()
    is_(stored(handle), [trace_id], "a queue that ran before the column goes on")
    with request() as trace_id:
        handle = DBOS.start_workflow(report)
    handle.get_result()
    is_(stored(handle), [trace_id], "start_workflow")
    attempts.clear()
    with request() as trace_id:
        handle = DBOS.enqueue_workflow("work", report, 3)
    handle.get_result()
    is_((len(attempts), stored(handle)), (3, [trace_id]), "a step that is retried")
    with request() as other:
        fork = DBOS.fork_workflow(handle.workflow_id, 1)
    fork.get_result()
    is_(stored(handle, fork), [trace_id, other], "a fork has the context of who forked it")

    traces = []
    for _ in range(20):
        with request() as trace_id:
            DBOS.enqueue_workflow("items", report)
        traces.append(trace_id)
    is_(
        sorted(linked_traces(documented("batch.sql"))),
        sorted(traces),
        "a batch span is linked to every workflow",
    )
    plain("SELECT otel.remove_capture('dbos.workflow_status', 'otel_context')")
    with request():
        handle = DBOS.enqueue_workflow("work", report)
    is_(stored(handle), [None], "taken off, nothing is captured")
finally:
    DBOS.destroy()
