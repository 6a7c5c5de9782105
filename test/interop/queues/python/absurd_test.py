"""Absurd: the jsonb column of a task's headers, in each queue's own table.  Prints TAP lines."""

import os
import pathlib
import subprocess
import sys
import threading
import time

from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor

from queue_test import (
    catalog,
    client_traces,
    documented,
    is_,
    linked_traces,
    new_database,
    plain,
    request,
    row_traces,
)

PsycopgInstrumentor().instrument(enable_commenter=True)
import psycopg  # noqa: E402
from absurd_sdk import Absurd  # noqa: E402

ROOT = pathlib.Path(__file__).parents[4]
sys.path.insert(0, str(ROOT / "test/interop"))
from doc_blocks import blocks  # noqa: E402

SOMEBODY_ELSES = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
seen = {}


def absurdctl(command, folder=None):
    """Runs the library's own program, which needs psql: the present release, or an older one."""
    bindir = subprocess.check_output([os.environ["PG_CONFIG"], "--bindir"], text=True).strip()
    subprocess.run(
        [sys.executable, "-c", "import absurdctl; absurdctl.main()", command],
        env=os.environ
        | {"PATH": f"{bindir}:{os.environ['PATH']}"}
        | ({"PYTHONPATH": folder} if folder else {}),
        stdout=sys.stderr,
        check=True,
    )


def stored(task, queue="items"):
    return row_traces(
        f"SELECT otel.traceparent(otel.extract(headers)) FROM absurd.t_{queue} WHERE task_id = %s",
        task["task_id"],
    )[0]


def state(task):
    [[found]] = plain("SELECT state FROM absurd.t_items WHERE task_id = %s", task["task_id"])
    return found


def until_state(task, expected):
    for _ in range(300):
        if state(task) == expected:
            return
        time.sleep(0.1)
    raise TimeoutError(f"{state(task)} and not {expected}")


def register(client):
    @client.register_task("report")
    def report(params, context):
        attempts = seen.setdefault(str(context.task_id), [])
        attempts.append(context.headers.get("traceparent"))
        if len(attempts) <= params.get("fails", 0):
            raise RuntimeError("as the test wants it")

    return client


def spawn(client, params, **options):
    """The trace of a request that spawns a task, and the task."""
    with request() as trace_id:
        return trace_id, client.spawn("report", params, **options)


def migrations():
    absurdctl("init", folder="absurdctl-0.3.0")
    plain("SELECT absurd.create_queue('items')")
    plain(documented("capture.sql"))
    absurdctl("migrate")
    trace_id, task = spawn(register(Absurd(URL, "items")), {})
    is_(
        (plain("SELECT absurd.get_schema_version()"), stored(task)),
        ([("0.5.1",)], trace_id),
        "the library's migrations from 0.3.0 on run over the trigger",
    )
    plain("SELECT absurd.drop_queue('items')")


def running_worker(client):
    """A worker and a producer that run since before the trigger."""
    worker = register(Absurd(URL, "items"))
    thread = threading.Thread(target=worker.start_worker, kwargs={"poll_interval": 0.05})
    thread.start()
    early = client.spawn("report", {})
    until_state(early, "completed")
    plain(documented("capture.sql"))
    at_once = {"kind": "fixed", "base_seconds": 0}
    trace_id, task = spawn(client, {"fails": 1}, retry_strategy=at_once)
    until_state(task, "completed")
    is_(
        (stored(task), client_traces(seen[str(task["task_id"])])),
        (trace_id, [trace_id] * 2),
        "a producer and a worker that run go on; it sees the context at both attempts",
    )
    trace_id, task = spawn(client, {"fails": 2}, max_attempts=1)
    until_state(task, "failed")
    is_(stored(task), trace_id, "a task that failed for good keeps it")
    with request():
        client.retry_task(str(task["task_id"]), max_attempts=2)
    until_state(task, "failed")
    is_(
        (stored(task), client_traces(seen[str(task["task_id"])])),
        (trace_id, [trace_id] * 2),
        "retried by hand, by another request, it has it still",
    )
    with request():
        again = client.retry_task(str(task["task_id"]), spawn_new=True)
    is_(stored(again), trace_id, "so does the new task that spawn_new makes of it")
    worker.stop_worker()
    thread.join()


def rows(client):
    with request() as trace_id, psycopg.connect(autocommit=True) as connection:
        task_ids = connection.execute(
            "SELECT task_id FROM generate_series(1, 3),"
            " absurd.spawn_task('items', 'report', '{}', '{}')"
        ).fetchall()
    is_(
        [stored({"task_id": task_id}) for (task_id,) in task_ids],
        [trace_id] * 3,
        "three tasks in a statement, by SQL, as there is no bulk form",
    )
    with request():
        own = client.spawn("report", {}, headers=SOMEBODY_ELSES)
    is_(
        plain("SELECT headers FROM absurd.t_items WHERE task_id = %s", own["task_id"]),
        [(SOMEBODY_ELSES,)],
        "a context of somebody else's in the headers stays",
    )
    trace_id, task = spawn(client, ["x" * 10_000_000], headers={"n": 1})
    is_(
        plain(
            "SELECT length(params->>0), headers - 'traceparent' - 'tracestate'"
            " FROM absurd.t_items WHERE task_id = %s",
            task["task_id"],
        )
        + [stored(task)],
        [(10_000_000, {"n": 1}), trace_id],
        "parameters of ten megabytes, and other headers",
    )


def later():
    """Queues that come later, of either kind."""
    statement = blocks(ROOT / "docs/queues.md")["tables-that-come-later"]
    plain(statement.replace(r"pgmq.q\_", r"absurd.t\_"))
    for mode in ("unpartitioned", "partitioned"):
        client = register(Absurd(URL, mode))
        client.create_queue(storage_mode=mode)
        trace_id, task = spawn(client, {})
        is_(stored(task, mode), trace_id, f"a queue that comes later, {mode}")
    plain("DROP EVENT TRIGGER capture_new_queues")


URL = new_database()
migrations()
absurd = register(Absurd(URL, "items"))
absurd.create_queue()
before = catalog("absurd.t_items")
running_worker(absurd)
rows(absurd)
plain("DELETE FROM absurd.t_items")
traces = [spawn(absurd, {})[0] for _ in range(20)]
is_(
    sorted(linked_traces(documented("batch.sql"))),
    sorted(traces),
    "a batch span is linked to every task",
)
later()
plain("SELECT otel.remove_capture('absurd.t_items', 'headers')")
_, task = spawn(absurd, {})
is_(stored(task), None, "taken off, nothing is captured")
is_(catalog("absurd.t_items"), before, "and the catalog has the table as it was")
