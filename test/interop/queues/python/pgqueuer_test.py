"""pgqueuer: into its headers, where its own tracing looks.  Prints TAP lines."""

import asyncio
import os
import pathlib
import subprocess
import sys
from datetime import timedelta

from queue_test import (
    apply,
    catalog,
    client_traces,
    documented,
    exporter,
    is_,
    linked_traces,
    new_database,
    plain,
    prepared_since_now,
    request,
    row_traces,
    until,
)

URL = new_database()
import asyncpg  # noqa: E402
from pgqueuer import PgQueuer  # noqa: E402
from pgqueuer.adapters.tracing.opentelemetry import OpenTelemetryTracing  # noqa: E402
from pgqueuer.executors import DatabaseRetryEntrypointExecutor  # noqa: E402
from pgqueuer.models import Job  # noqa: E402
from pgqueuer.ports.tracing import set_tracing_class  # noqa: E402
from pgqueuer.queries import Queries  # noqa: E402

sys.path.insert(0, str(pathlib.Path("documented", "pgqueuer").resolve()))
from pool import create_pool  # noqa: E402


CONTEXT = "SELECT otel.traceparent(otel.extract(headers, '{otel}')) FROM pgqueuer WHERE id = %s"


def stored(job):
    return row_traces(CONTEXT, job)[0]


def status(job):
    return plain("SELECT coalesce((SELECT status::text FROM pgqueuer WHERE id = %s), 'gone')", job)[
        0
    ][0]


def pgq(command, folder=None):
    """Runs the library's own program: the present release, or an older one in a folder."""
    subprocess.run(
        [sys.executable, "-m", "pgqueuer", command],
        env=os.environ | {"PGDSN": URL} | ({"PYTHONPATH": folder} if folder else {}),
        check=True,
        stdout=subprocess.DEVNULL,
    )


async def insert(producers, entrypoint):
    """A request inserts a job in SQL; the trace and the job."""
    with request() as trace_id:
        async with producers.acquire() as connection:
            job = await connection.fetchval(
                "INSERT INTO pgqueuer (priority, status, entrypoint, payload)"
                " VALUES (0, 'queued', $1, 'x') RETURNING id",
                entrypoint,
            )
    return trace_id, job


async def upgrade(producers, queries):
    """An old installation is upgraded over the trigger."""
    pgq("install", "pgqueuer-1.0.2")
    await apply(documented("capture.sql"))
    before = await insert(producers, "hold")
    pgq("upgrade")
    with request() as trace_id:
        (job,) = await queries.enqueue("hold", b"x")
    is_(
        [(stored(job), job) for job in (before[1], job)],
        [before, (trace_id, job)],
        "the library's upgrade from 1.0.2 runs over the trigger",
    )
    pgq("uninstall")


async def main():
    producers = await create_pool(URL)
    queries = Queries.from_asyncpg_pool(producers)
    await upgrade(producers, queries)
    pgq("install")
    plain(f"ALTER DATABASE {os.environ['PGDATABASE']} SET log_statement = 'all'")
    prepared = prepared_since_now()
    worker = PgQueuer.from_asyncpg_connection(await asyncpg.connect(URL))
    plain(f"ALTER DATABASE {os.environ['PGDATABASE']} RESET log_statement")
    attempts = []

    @worker.entrypoint(
        "report",
        executor_factory=lambda parameters: DatabaseRetryEntrypointExecutor(
            parameters=parameters, max_attempts=3, initial_delay=timedelta(0)
        ),
    )
    async def report(job: Job) -> None:
        attempts.append((await asyncio.to_thread(plain, CONTEXT, job.id))[0][0])
        if job.payload == b"fails" and job.attempts < 1:
            raise ValueError("as the test wants it")

    @worker.entrypoint("hold", on_failure="hold")
    async def hold(job: Job) -> None:
        raise ValueError("as the test wants it")

    running = asyncio.create_task(worker.run(dequeue_timeout=timedelta(seconds=0.3)))
    for _ in range(7):
        (job,) = await queries.enqueue("report", b"x")
    await until(lambda: status(job) == "gone")
    before = catalog("pgqueuer")
    await apply(documented("capture.sql"))
    attempts.clear()
    set_tracing_class(None)

    with request() as trace_id:
        (job,) = await queries.enqueue("report", b"fails")
    await until(lambda: status(job) == "gone")
    is_(
        client_traces(attempts),
        [trace_id] * 2,
        "a producer and a worker that ran before go on; both attempts see the request",
    )
    is_(prepared("pgqueuer"), True, "though the worker's statements are prepared")
    attempts.clear()
    trace_id, _ = await insert(producers, "report")
    await until(lambda: attempts and not plain("SELECT FROM pgqueuer"))
    is_(client_traces(attempts), [trace_id], "a job that SQL inserts")
    with request() as trace_id:
        (job,) = await queries.enqueue("hold", b"x")
    await until(lambda: status(job) == "failed")
    is_(stored(job), trace_id, "a job that is held after it failed keeps it")
    worker.shutdown.set()
    await running
    await queries.requeue_jobs([job])
    is_((status(job), stored(job)), ("queued", trace_id), "requeue_jobs keeps it")

    with request() as trace_id:
        jobs = await queries.enqueue(["items"] * 3, [b"x"] * 3, [0] * 3)
    is_([stored(job) for job in jobs], [trace_id] * 3, "three at once")
    with request() as first:
        (job,) = await queries.enqueue("keyed", b"1", dedupe_key="k")
    with request():
        await queries.enqueue("keyed", b"2", 5, dedupe_key="k", on_conflict="update_priority")
    is_(stored(job), first, "dedupe_key with update_priority keeps the first one's")
    with request() as trace_id:
        (job,) = await queries.enqueue("own", b"x", headers={"a": "b"})
    is_(
        (stored(job), plain("SELECT headers ->> 'a' FROM pgqueuer WHERE id = %s", job)),
        (trace_id, [("b",)]),
        "headers that the application gives are kept beside it",
    )

    plain("TRUNCATE pgqueuer")
    traces = []
    for _ in range(20):
        with request() as trace_id:
            await queries.enqueue("items", b"x")
        traces.append(trace_id)
    is_(
        sorted(linked_traces(documented("batch.sql"))),
        sorted(traces),
        "a batch span is linked to every job",
    )

    # its own tracing finds what the database put there
    plain("TRUNCATE pgqueuer")
    with request() as trace_id:
        (job,) = await queries.enqueue("report", b"x")
    exporter.clear()
    set_tracing_class(OpenTelemetryTracing())
    worker = PgQueuer.from_asyncpg_connection(await asyncpg.connect(URL))

    @worker.entrypoint("report")
    async def again(job: Job) -> None:
        pass

    running = asyncio.create_task(worker.run(dequeue_timeout=timedelta(seconds=0.3)))
    await until(lambda: status(job) == "gone")
    worker.shutdown.set()
    await running
    is_(
        [
            f"{span.parent.trace_id:032x}"
            for span in exporter.get_finished_spans()
            if span.name == "process report"
        ],
        [trace_id],
        "pgqueuer's own worker span is a child of the request",
    )
    set_tracing_class(None)

    plain("SELECT otel.remove_capture('pgqueuer', 'headers')")
    with request():
        (job,) = await queries.enqueue("items", b"x")
    is_(
        plain("SELECT coalesce(headers, 'null') FROM pgqueuer WHERE id = %s", job),
        [(None,)],
        "taken off, a job has no headers",
    )
    is_(catalog("pgqueuer"), before, "and the catalog has the table as it was")
    await producers.close()


asyncio.run(main())
