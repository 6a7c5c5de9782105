"""DBOS: a column of its table of workflows.  Prints TAP lines."""

import asyncio
import logging
import sys
import threading
from unittest import mock

import sqlalchemy
from opentelemetry import trace
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor

from queue_test import (
    catalog,
    client_traces,
    database_url,
    documented,
    is_,
    linked_traces,
    new_database,
    plain,
    request,
    row_traces,
    until,
    worker_process,
)

WORKER = "worker" in sys.argv
if not WORKER:
    new_database()
    PsycopgInstrumentor().instrument(enable_commenter=True)
import psycopg  # noqa: E402
from dbos import DBOS, SetWorkflowAttributes, _migration  # noqa: E402

logging.disable(logging.CRITICAL)
CONFIG = {"name": "test", "system_database_url": database_url(), "log_level": "CRITICAL"}
if WORKER:
    CONFIG["db_engine_kwargs"] = {"connect_args": {"prepare_threshold": 0}}
else:
    CONFIG["enable_otlp"] = True
DBOS(config=CONFIG)
attempts = []
CONTEXT = "SELECT otel.traceparent(otel_context) FROM dbos.workflow_status WHERE workflow_uuid = %s"
ATTRIBUTES = """SELECT otel.traceparent(otel.extract(attributes, '{dbos.otelContext}'))
                  FROM dbos.workflow_status WHERE workflow_uuid = %s"""


@DBOS.step(retries_allowed=True, interval_seconds=0.01, max_attempts=3)
def step(fails):
    attempts.append(fails)
    if len(attempts) < fails:
        raise RuntimeError("as the test wants it")


@DBOS.workflow()
def report(fails=0):
    step(fails)


@DBOS.workflow()
def fail():
    raise RuntimeError("as the test wants it")


@DBOS.workflow()
def look():
    return plain(CONTEXT, DBOS.workflow_id)[0][0]


@DBOS.workflow()
def own_trace():
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}"


def stored(*handles, sql=CONTEXT):
    return [row_traces(sql, handle.workflow_id)[0] for handle in handles]


def status(workflow):
    return plain("SELECT status FROM dbos.workflow_status WHERE workflow_uuid = %s", workflow)[0][0]


def wait_for(workflow, wanted="SUCCESS"):
    asyncio.run(until(lambda: status(workflow) == wanted))


def migrate(versions):
    """Makes the library's tables as they were with its first migrations."""
    engine = sqlalchemy.create_engine(database_url().replace("postgresql:", "postgresql+psycopg:"))
    first = _migration.get_dbos_migrations("dbos", True)[:versions]
    _migration.ensure_dbos_schema(engine, "dbos")
    with mock.patch.object(_migration, "get_dbos_migrations", lambda *_: first):
        _migration.run_dbos_migrations(engine, "dbos", True)
    engine.dispose()


def upgrade():
    """An old installation is migrated over the column."""
    migrate(20)
    plain(documented("capture.sql"))
    DBOS.launch()
    is_(
        plain("SELECT max(version) > 100 FROM dbos.dbos_migrations"),
        [(True,)],
        "the library's migrations from 20 on run over the column",
    )
    plain("ALTER TABLE dbos.workflow_status DROP COLUMN otel_context")


def prepared_worker():
    """A worker that has prepared its statements goes on over the page's statement."""
    with worker_process() as worker:
        for _ in range(3):
            wait_for(DBOS.enqueue_workflow("prepared", report).workflow_id)
        plain(documented("capture.sql"))
        with request() as trace_id:
            handle = DBOS.enqueue_workflow("prepared", report)
        wait_for(handle.workflow_id)
        is_(
            (worker.prepared("workflow_status"), worker.poll(), stored(handle)),
            (True, None, [trace_id]),
            "a worker whose statements are prepared goes on",
        )
    plain("ALTER TABLE dbos.workflow_status DROP COLUMN otel_context")


def column():
    """The page's statement, and what keeps the context."""
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
    is_(client_traces([handle.get_result()]), [trace_id], "a workflow finds it by its id")
    attempts.clear()
    with request() as trace_id:
        handle = DBOS.enqueue_workflow("work", report, 3)
    handle.get_result()
    is_((len(attempts), stored(handle)), (3, [trace_id]), "a step that is retried")
    plain(
        "UPDATE dbos.workflow_status SET status = 'PENDING' WHERE workflow_uuid = %s",
        handle.workflow_id,
    )
    for recovered in DBOS._recover_pending_workflows():
        recovered.get_result()
    is_(
        (status(handle.workflow_id), stored(handle)),
        ("SUCCESS", [trace_id]),
        "a workflow that is recovered",
    )
    with request() as other:
        fork = DBOS.fork_workflow(handle.workflow_id, 1)
    fork.get_result()
    is_(stored(handle, fork), [trace_id, other], "a fork has the context of who forked it")
    with request() as trace_id:
        handle = DBOS.enqueue_workflow("work", fail)
    wait_for(handle.workflow_id, "ERROR")
    is_(stored(handle), [trace_id], "a workflow that failed keeps it")
    with request() as trace_id:
        handle = DBOS.enqueue_workflow("hold", report)
    with request():
        DBOS.cancel_workflow(handle.workflow_id)
        DBOS.resume_workflow(handle.workflow_id).get_result()
    is_(stored(handle), [trace_id], "one that is cancelled and resumed keeps it")
    with request() as trace_id, psycopg.connect(autocommit=True) as connection:
        rows = connection.execute(
            "SELECT dbos.enqueue_workflow(%s, 'work') FROM generate_series(1, 3)",
            [look.__qualname__],
        ).fetchall()
    for [workflow] in rows:
        wait_for(workflow)
    is_(
        [row_traces(CONTEXT, workflow)[0] for [workflow] in rows],
        [trace_id] * 3,
        "workflows of the library's SQL function, many at once",
    )

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


def attributes():
    """The page's other form: where DBOS itself keeps a carrier."""
    before = catalog("dbos.workflow_status")
    with request() as trace_id:
        handle = DBOS.enqueue_workflow("work", own_trace)
    is_(handle.get_result() == trace_id, False, "without it, a workflow has a trace of its own")
    plain(documented("attributes.sql"))
    with request() as trace_id:
        handle = DBOS.enqueue_workflow("work", own_trace)
    is_(
        (handle.get_result(), stored(handle, sql=ATTRIBUTES)),
        (trace_id, [trace_id]),
        "in its attributes, the context is that of the workflow's own span",
    )
    with request():
        fork = DBOS.fork_workflow(handle.workflow_id, 1)
    fork.get_result()
    is_(stored(fork, sql=ATTRIBUTES), [trace_id], "in its attributes, a fork keeps it")
    with request() as trace_id, SetWorkflowAttributes({"tenant": "a"}):
        handle = DBOS.start_workflow(report)
    is_(
        (handle.get_status().attributes["tenant"], stored(handle, sql=ATTRIBUTES)),
        ("a", [trace_id]),
        "attributes that the application gives are kept beside it",
    )
    DBOS.update_workflow_attributes(handle.workflow_id, {"tenant": "b"}, merge=True)
    is_(stored(handle, sql=ATTRIBUTES), [trace_id], "merged with others, it stays")
    DBOS.update_workflow_attributes(handle.workflow_id, {"tenant": "c"})
    is_(stored(handle, sql=ATTRIBUTES), [None], "attributes that replace the others have none")
    with request() as trace_id, psycopg.connect(autocommit=True) as connection:
        [workflow] = connection.execute(
            "SELECT dbos.enqueue_workflow(%s, 'work')", [own_trace.__qualname__]
        ).fetchone()
    wait_for(workflow)
    is_(
        (DBOS.retrieve_workflow(workflow).get_result(), row_traces(ATTRIBUTES, workflow)),
        (trace_id, [trace_id]),
        "so it is when SQL enqueues the workflow",
    )
    traces = []
    for _ in range(3):
        with request() as trace_id:
            DBOS.enqueue_workflow("items", report)
        traces.append(trace_id)
    extracted = "otel.extract(attributes, '{dbos.otelContext}')"
    plain("DELETE FROM dbos.workflow_status WHERE queue_name = 'items' AND attributes IS NULL")
    is_(
        sorted(linked_traces(documented("batch.sql").replace("otel_context", extracted))),
        sorted(traces),
        "a batch span is linked by the attributes",
    )
    plain("SELECT otel.remove_capture('dbos.workflow_status', 'attributes')")
    is_(catalog("dbos.workflow_status"), before, "taken off, the catalog has the table as it was")


if WORKER:
    DBOS.launch()
    DBOS.register_queue("prepared", polling_interval_sec=0.1)
    threading.Event().wait()
upgrade()
DBOS.register_queue("work", polling_interval_sec=0.1)
try:
    prepared_worker()
    column()
    attributes()
finally:
    DBOS.destroy()
