"""DBOS: a column of its table of workflows.  Prints TAP lines."""

import logging
from unittest import mock

import sqlalchemy
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor

from queue_test import documented, is_, linked_traces, new_database, plain, request

URL = new_database()
PsycopgInstrumentor().instrument(enable_commenter=True)
from dbos import DBOS, _migration  # noqa: E402

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


@DBOS.workflow()
def look():
    rows = plain(
        "SELECT otel.trace_id(otel_context) FROM dbos.workflow_status WHERE workflow_uuid = %s",
        DBOS.workflow_id,
    )
    return rows[0][0]


def stored(*handles):
    return [
        plain(
            "SELECT otel.trace_id(otel_context) FROM dbos.workflow_status WHERE workflow_uuid = %s",
            handle.workflow_id,
        )[0][0]
        for handle in handles
    ]


def migrate(versions):
    """Makes the library's tables as they were with its first migrations."""
    engine = sqlalchemy.create_engine(URL.replace("postgresql:", "postgresql+psycopg:"))
    first = _migration.get_dbos_migrations("dbos", True)[:versions]
    _migration.ensure_dbos_schema(engine, "dbos")
    with mock.patch.object(_migration, "get_dbos_migrations", lambda *_: first):
        _migration.run_dbos_migrations(engine, "dbos", True)
    engine.dispose()


migrate(20)
plain(documented("capture.sql"))
DBOS.launch()
is_(
    plain("SELECT max(version) > 100 FROM dbos.dbos_migrations"),
    [(True,)],
    "the library's migrations from 20 on run over the column",
)
plain("ALTER TABLE dbos.workflow_status DROP COLUMN otel_context")
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
    with request() as trace_id:
        handle = DBOS.enqueue_workflow("work", look)
    is_(handle.get_result(), trace_id, "a workflow finds it by its id")
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
