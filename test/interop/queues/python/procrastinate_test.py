"""Procrastinate: a column of its table of jobs.  Prints TAP lines."""

import asyncio
import datetime
import logging

from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor

from queue_test import apply, documented, is_, linked_traces, new_database, plain, request, until

URL = new_database()
PsycopgInstrumentor().instrument(enable_commenter=True)
import procrastinate  # noqa: E402

logging.getLogger("procrastinate").setLevel(logging.CRITICAL)
seen = {}
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=URL))


def stored(job):
    return plain("SELECT otel.trace_id(otel_context) FROM procrastinate_jobs WHERE id = %s", job)[
        0
    ][0]


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
        seen.setdefault(context.job.id, []).append(stored(context.job.id))
    if context.job.attempts < fails:
        raise RuntimeError("as the test wants it")


def columns():
    return [
        row[0]
        for row in plain(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'procrastinate_jobs'::regclass"
        )
    ]


def worker(**options):
    return app.run_worker_async(
        queues=["q"], install_signal_handlers=False, fetch_job_polling_interval=0.2, **options
    )


async def main():
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        running = asyncio.create_task(worker(wait=True))
        # beyond psycopg's prepare_threshold
        for _ in range(8):
            job = await report.defer_async()
        await until(lambda: status(job) == "succeeded")
        await apply(documented("capture.sql"))

        with request() as trace_id:
            job = await report.defer_async(fails=1)
        is_(stored(job), trace_id, "a producer that ran before goes on, and records the request")
        await until(lambda: status(job) == "succeeded")
        is_(
            seen[job],
            [trace_id] * 2,
            "so does a worker, which sees it at the first attempt and at the second",
        )
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

        with request() as trace_id:
            jobs = await report.batch_defer_async({}, {}, {})
        is_([stored(job) for job in jobs], [trace_id] * 3, "batch_defer_async")
        plain("DELETE FROM procrastinate_jobs WHERE status = 'todo'")

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


asyncio.run(main())
