"""Oban for Python: the jsonb column of a job's metadata.  Prints TAP lines."""

import asyncio
import logging

from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor

from queue_test import (
    apply,
    catalog,
    client_traces,
    documented,
    is_,
    linked_traces,
    new_database,
    plain,
    request,
    row_traces,
    until,
)

PsycopgInstrumentor().instrument(enable_commenter=True)
import psycopg  # noqa: E402
from oban import Oban, Record, worker  # noqa: E402
from oban.schema import install  # noqa: E402

logging.getLogger("oban").setLevel(logging.CRITICAL)
SOMEBODY_ELSES = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
seen = {}


@worker(queue="q", max_attempts=2)
class Report:
    async def process(self, job):
        seen.setdefault(job.id, []).append(job.meta.get("traceparent"))
        if job.attempt <= job.args.get("fails", 0):
            raise RuntimeError("as the test wants it")
        return Record({"n": 1})

    def backoff(self, job):
        return 0


def stored(job_id):
    return row_traces(
        "SELECT otel.traceparent(otel.extract(meta)) FROM oban_jobs WHERE id = %s", job_id
    )[0]


async def until_state(job_id, state):
    await until(
        lambda: plain("SELECT state::text FROM oban_jobs WHERE id = %s", job_id) == [(state,)]
    )


async def enqueue(oban, args, **options):
    """The trace of a request that enqueues a job, and the job's id."""
    with request() as trace_id:
        return trace_id, (await oban.enqueue(Report.new(args, **options))).id


async def running(oban):
    """Workers and producers that run since before the trigger."""
    _, early = await enqueue(oban, {})
    await until_state(early, "completed")
    await apply(documented("capture.sql"))
    trace_id, job_id = await enqueue(oban, {"fails": 1})
    await until_state(job_id, "completed")
    is_(
        client_traces(seen[job_id]),
        [trace_id] * 2,
        "a producer and a worker that run go on; it sees the context at both attempts",
    )
    is_(stored(job_id), trace_id, "a job that is done keeps it, beside what it recorded")
    trace_id, job_id = await enqueue(oban, {"fails": 9})
    await until_state(job_id, "discarded")
    is_(stored(job_id), trace_id, "a job that failed for good keeps it")
    with request():
        await oban.retry_job(job_id)
    await until(lambda: len(seen[job_id]) == 3)
    is_(client_traces(seen[job_id]), [trace_id] * 3, "retried by hand, by another request, too")


async def rows(oban):
    with request() as trace_id:
        jobs = await oban.enqueue_many(*[Report.new({}, queue="hold") for _ in range(3)])
    is_([stored(job.id) for job in jobs], [trace_id] * 3, "enqueue_many")
    with request() as trace_id, psycopg.connect(autocommit=True) as connection:
        [job_id] = connection.execute(
            "INSERT INTO oban_jobs (worker, queue) VALUES ('Report', 'hold') RETURNING id"
        ).fetchone()
    is_(stored(job_id), trace_id, "a job that SQL inserts")
    trace_id, job_id = await enqueue(oban, {}, queue="hold")
    await oban.update_job(job_id, {"args": {"n": 2}})
    is_(stored(job_id), trace_id, "update_job of the arguments leaves it")
    await oban.update_job(job_id, {"meta": {"n": 2}})
    is_(stored(job_id), None, "update_job of the metadata replaces it")
    _, job_id = await enqueue(oban, {}, queue="hold", meta=SOMEBODY_ELSES)
    is_(
        plain("SELECT meta FROM oban_jobs WHERE id = %s", job_id),
        [(SOMEBODY_ELSES,)],
        "a context of somebody else's in the metadata stays",
    )
    large = "x" * 10_000_000
    trace_id, job_id = await enqueue(oban, {"text": large}, queue="hold", meta={"text": large})
    is_(
        plain(
            "SELECT length(args->>'text'), length(meta->>'text') FROM oban_jobs WHERE id = %s",
            job_id,
        )
        + [stored(job_id)],
        [(10_000_000, 10_000_000), trace_id],
        "arguments and metadata of ten megabytes",
    )


async def main():
    pool = await Oban.create_pool(dsn=new_database())
    await install(pool)
    before = catalog("oban_jobs")
    async with Oban(pool=pool, queues={"q": 2}, stager={"interval": 0.1}) as oban:
        await running(oban)
        await rows(oban)
        traces = [(await enqueue(oban, {}, queue="items"))[0] for _ in range(20)]
        is_(
            sorted(linked_traces(documented("batch.sql"))),
            sorted(traces),
            "a batch span is linked to every job",
        )
        await install(pool)
        trace_id, job_id = await enqueue(oban, {}, queue="hold")
        is_(stored(job_id), trace_id, "the library's installation runs over the trigger")
        plain("SELECT otel.remove_capture('oban_jobs', 'meta')")
        _, job_id = await enqueue(oban, {}, queue="hold")
        is_(stored(job_id), None, "taken off, nothing is captured")
        is_(catalog("oban_jobs"), before, "and the catalog has the table as it was")
    await pool.close()


asyncio.run(main())
