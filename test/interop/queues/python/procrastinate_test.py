"""Procrastinate: a column of its table of jobs.  Prints TAP lines."""

import asyncio
import datetime
import importlib.resources
import logging
import sys

from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor

from queue_test import (
    apply,
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
import procrastinate  # noqa: E402
import psycopg  # noqa: E402

logging.getLogger("procrastinate").setLevel(logging.CRITICAL)
seen = {}
app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(
        conninfo=database_url(), kwargs={"prepare_threshold": 0} if WORKER else {}
    )
)
CONTEXT = "SELECT otel.traceparent(otel_context) FROM procrastinate_jobs WHERE id = %s"


def stored(job):
    return row_traces(CONTEXT, job)[0]


def status(job):
    return plain("SELECT status::text FROM procrastinate_jobs WHERE id = %s", job)[0][0]


@app.task(
    name="report",
    queue="q",
    retry=procrastinate.RetryStrategy(max_attempts=3, wait=0),
    pass_context=True,
)
async def report(context, fails=0):
    if "otel_context" in columns():
        seen.setdefault(context.job.id, []).append(plain(CONTEXT, context.job.id)[0][0])
    if context.job.attempts < fails:
        raise RuntimeError("as the test wants it")


def columns():
    return [
        row[0]
        for row in plain(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'procrastinate_jobs'::regclass"
        )
    ]


def worker(queue="q", **options):
    return app.run_worker_async(
        queues=[queue], install_signal_handlers=False, fetch_job_polling_interval=0.2, **options
    )


async def upgrade():
    """An old installation is migrated over the column; a job that waits keeps its context."""
    folder = importlib.resources.files(procrastinate) / "sql" / "migrations"
    scripts = sorted(script for script in folder.iterdir() if script.name.endswith(".sql"))
    for script in scripts:
        if script.name < "02.14":
            plain(script.read_text())
    plain(documented("capture.sql"))
    with request() as early, psycopg.connect(autocommit=True) as connection:
        [waits] = connection.execute(
            "SELECT procrastinate_defer_job('upgraded', 'report', 0, NULL, NULL, '{}', NULL)"
        ).fetchone()
    for script in scripts:
        if script.name >= "02.14":
            plain(script.read_text())
    with request() as trace_id:
        job = await app.configure_task("report", queue="upgraded").defer_async()
    is_(
        (stored(waits), stored(job)),
        (early, trace_id),
        "the library's migrations from 2.14 on run over the column",
    )
    await worker("upgraded", wait=False)
    is_(
        [(status(waits), stored(waits)), (status(job), stored(job))],
        [("succeeded", early), ("succeeded", trace_id)],
        "and the worker does the jobs from before and after",
    )
    plain("DROP SCHEMA public CASCADE; CREATE SCHEMA public")


async def work():
    """The worker in a process of its own, with prepared statements, until it is ended."""
    async with app.open_async():
        await worker("prepared", wait=True)


async def prepared_worker():
    """A worker that has prepared its statements goes on over the page's statement."""
    prepared = app.configure_task("report", queue="prepared")
    with worker_process() as process:
        for _ in range(3):
            job = await prepared.defer_async()
            await until(lambda: status(job) == "succeeded")
        await apply(documented("capture.sql"))
        with request() as trace_id:
            job = await prepared.defer_async(fails=1)
        await until(lambda: status(job) == "succeeded")
        is_(
            (process.prepared("procrastinate_fetch_job"), process.poll(), stored(job)),
            (True, None, trace_id),
            "a worker whose statements are prepared goes on",
        )
    plain("ALTER TABLE procrastinate_jobs DROP COLUMN otel_context")


async def insert_by_sql():
    """Jobs of the library's function, many at once, and of an INSERT."""
    with request() as trace_id, psycopg.connect(autocommit=True) as connection:
        jobs = connection.execute(
            "SELECT unnest(procrastinate_defer_jobs_v1(array_agg(row('q', 'report', 0, NULL, NULL,"
            " '{}', NULL)::procrastinate_job_to_defer_v1))) FROM generate_series(1, 3)"
        ).fetchall()
        jobs += connection.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('q', 'report')"
            " RETURNING id"
        ).fetchall()
    await worker(wait=False)
    is_(
        [(status(job), client_traces(seen[job])) for [job] in jobs],
        [("succeeded", [trace_id])] * 4,
        "jobs of the library's SQL function, many at once, and of an INSERT",
    )


async def main():
    async with app.open_async():
        await upgrade()
        await app.schema_manager.apply_schema_async()
        await prepared_worker()
        running = asyncio.create_task(worker(wait=True))
        job = await report.defer_async()
        await until(lambda: status(job) == "succeeded")
        await apply(documented("capture.sql"))

        with request() as trace_id:
            job = await report.defer_async(fails=1)
        is_(stored(job), trace_id, "a producer that ran before goes on, and records the request")
        await until(lambda: status(job) == "succeeded")
        is_(
            client_traces(seen[job]),
            [trace_id] * 2,
            "so does a worker, which sees it at the first attempt and at the second",
        )
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

        with request() as trace_id:
            jobs = await report.batch_defer_async({}, {}, {})
        is_([stored(job) for job in jobs], [trace_id] * 3, "batch_defer_async")
        plain("DELETE FROM procrastinate_jobs WHERE status = 'todo'")

        await insert_by_sql()
        locked = app.configure_task("report", queue="hold", queueing_lock="lock")
        with request() as trace_id:
            job = await locked.defer_async()
        with request():
            try:
                await locked.defer_async()
            except procrastinate.exceptions.AlreadyEnqueued:
                pass
        is_(stored(job), trace_id, "a duplicate by queueing_lock leaves the first one's")

        with request() as trace_id:
            job = await report.defer_async(fails=99)
        await worker(wait=False)
        is_((status(job), stored(job)), ("failed", trace_id), "a job that failed for good keeps it")
        await app.job_manager.retry_job_by_id_async(
            job, datetime.datetime.now(datetime.timezone.utc)
        )
        is_((status(job), stored(job)), ("todo", trace_id), "and when it is retried by hand")

        traces = []
        for _ in range(20):
            with request() as trace_id:
                await app.configure_task("report", queue="items").defer_async()
            traces.append(trace_id)
        is_(
            sorted(linked_traces(documented("batch.sql"))),
            sorted(traces),
            "a batch span is linked to every job",
        )

        plain("SELECT otel.remove_capture('procrastinate_jobs', 'otel_context')")
        with request():
            job = await report.defer_async()
        is_(stored(job), None, "taken off, nothing is captured")


asyncio.run(work() if WORKER else main())
