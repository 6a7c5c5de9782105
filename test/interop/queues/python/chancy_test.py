"""Chancy: the json column of a job's metadata.  Prints TAP lines."""

import asyncio
import logging
import sys

import psycopg_pool
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor

from queue_test import (
    apply,
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
    PsycopgInstrumentor().instrument(enable_commenter=True)
import psycopg  # noqa: E402
from chancy import Chancy, Queue, QueuedJob, Worker, job  # noqa: E402
from chancy.migrate import Migrator  # noqa: E402

logging.getLogger("quiet").setLevel(logging.CRITICAL)
seen = {}
EXECUTOR = "chancy.executors.asyncex.AsyncExecutor"


def stored(reference):
    return row_traces(
        "SELECT otel.traceparent(otel.extract(meta)) FROM chancy_jobs WHERE id = %s::uuid",
        str(reference.identifier),
    )[0]


def state(reference):
    return plain("SELECT state FROM chancy_jobs WHERE id = %s::uuid", str(reference.identifier))[0][
        0
    ]


@job(queue="q", max_attempts=2)
async def report(*, context: QueuedJob, fails: int = 0):
    seen.setdefault(str(context.id), []).append(context.meta.get("traceparent", ""))
    if context.attempts < fails:
        raise RuntimeError("as the test wants it")


@job(queue="prepared")
async def prepared():
    pass


async def work():
    """The worker in a process of its own, with prepared statements, until it is ended."""
    app = Chancy(database_url(), log=logging.getLogger("quiet"))
    app.pool = psycopg_pool.AsyncConnectionPool(
        database_url(), kwargs={"prepare_threshold": 0}, open=False
    )
    try:
        async with app, Worker(app, tags={"prepared"}) as worker:
            await worker.wait_for_shutdown()
    except psycopg.errors.FeatureNotSupported:
        # cached plan must not change result type
        sys.exit(3)


async def prepared_worker(app):
    """A worker that has prepared its statements goes on over the page's statement."""
    await app.declare(Queue("prepared", polling_interval=1, executor=EXECUTOR, tags={"prepared"}))
    with worker_process() as worker:
        for _ in range(3):
            early = await app.push(prepared.job)
            await until(lambda: state(early) == "succeeded")
        await apply(documented("capture.sql"))
        with request() as trace_id:
            reference = await app.push(prepared.job)
        await until(lambda: state(reference) == "succeeded")
        is_(
            (worker.prepared("chancy_jobs"), worker.poll(), stored(reference)),
            (True, None, trace_id),
            "a worker whose statements are prepared goes on",
        )
        await apply("SELECT otel.add_trace_context('chancy_jobs', 'otel_context')")
        await app.push(prepared.job)
        await until(lambda: worker.poll() is not None)
        is_(worker.returncode, 3, "a new column would end it")
    plain("SELECT otel.remove_capture('chancy_jobs', 'meta')")
    plain("ALTER TABLE chancy_jobs DROP COLUMN otel_context; DELETE FROM chancy_jobs")


async def main():
    async with Chancy(new_database(), log=logging.getLogger("quiet")) as app:
        async with app.pool.connection() as connection:
            await Migrator("chancy", "chancy.migrations", prefix=app.prefix).migrate(
                connection, to_version=4
            )
        await apply(documented("capture.sql"))
        await app.migrate()
        with request() as trace_id:
            reference = await app.push(report.job.with_queue("hold"))
        is_(stored(reference), trace_id, "the library's migrations from 4 on run over the trigger")
        plain("SELECT otel.remove_capture('chancy_jobs', 'meta')")
        await prepared_worker(app)
        await app.declare(Queue("q", polling_interval=1, executor=EXECUTOR))
        worker = Worker(app)
        await worker.start()
        early = await app.push(report.job)
        await until(lambda: state(early) == "succeeded")
        before = catalog("chancy_jobs")
        await apply(documented("capture.sql"))

        with request() as trace_id:
            reference = await app.push(report.job.with_kwargs(fails=1))
        is_(stored(reference), trace_id, "a producer that ran before the trigger goes on")
        await until(lambda: state(reference) == "succeeded")
        is_(
            client_traces(seen[str(reference.identifier)]),
            [trace_id] * 2,
            "so does a worker, which sees it in the metadata at both attempts",
        )
        with request() as trace_id:
            reference = await app.push(report.job.with_kwargs(fails=9))
        await until(lambda: state(reference) == "failed")
        is_(stored(reference), trace_id, "a job that failed for good keeps it")
        with request() as trace_id, psycopg.connect(autocommit=True) as connection:
            [by_sql] = connection.execute(
                "INSERT INTO chancy_jobs (id, queue, func) VALUES (gen_random_uuid(), 'q', %s)"
                " RETURNING id::text",
                [report.job.func],
            ).fetchone()
        await until(lambda: by_sql in seen)
        is_(client_traces(seen[by_sql]), [trace_id], "a job that SQL inserts")
        await worker.stop()

        held = report.job.with_queue("hold")
        with request() as trace_id:
            references = [r async for batch in app.push_many([held] * 3) for r in batch]
        is_([stored(r) for r in references], [trace_id] * 3, "push_many")
        with app.sync_pool, request() as trace_id:
            references = [app.sync_push(held)]
            references += [r for batch in app.sync_push_many([held] * 2) for r in batch]
        is_([stored(r) for r in references], [trace_id] * 3, "sync_push and sync_push_many")
        unique = held.with_unique_key("one")
        with request() as trace_id:
            first = await app.push(unique)
        with request():
            await app.push(unique)
        is_(stored(first), trace_id, "a duplicate by unique_key leaves the first one's")

        traces = []
        for _ in range(20):
            with request() as trace_id:
                await app.push(report.job.with_queue("items"))
            traces.append(trace_id)
        is_(
            sorted(linked_traces(documented("batch.sql"))),
            sorted(traces),
            "a batch span is linked to every job",
        )
        plain("SELECT otel.remove_capture('chancy_jobs', 'meta')")
        with request():
            reference = await app.push(held)
        is_(stored(reference), None, "taken off, nothing is captured")
        is_(catalog("chancy_jobs"), before, "and the catalog has the table as it was")


# The worker's other executor starts processes, which import this file.
if __name__ == "__main__":
    asyncio.run(work() if WORKER else main())
