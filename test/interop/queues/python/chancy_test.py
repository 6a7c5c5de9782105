"""Chancy: the json column of a job's metadata.  Prints TAP lines."""

import asyncio
import logging

from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor

from queue_test import apply, documented, is_, linked_traces, new_database, plain, request, until

PsycopgInstrumentor().instrument(enable_commenter=True)
from chancy import Chancy, Queue, QueuedJob, Worker, job  # noqa: E402
from chancy.migrate import Migrator  # noqa: E402

logging.getLogger("quiet").setLevel(logging.CRITICAL)
seen = {}


def stored(reference):
    return plain(
        "SELECT otel.trace_id(otel.extract(meta)) FROM chancy_jobs WHERE id = %s::uuid",
        str(reference.identifier),
    )[0][0]


def state(reference):
    return plain("SELECT state FROM chancy_jobs WHERE id = %s::uuid", str(reference.identifier))[0][
        0
    ]


@job(queue="q", max_attempts=2)
async def report(*, context: QueuedJob, fails: int = 0):
    seen.setdefault(str(context.id), []).append(context.meta.get("traceparent", "")[3:35])
    if context.attempts < fails:
        raise RuntimeError("as the test wants it")


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
        await app.declare(
            Queue("q", polling_interval=1, executor="chancy.executors.asyncex.AsyncExecutor")
        )
        worker = Worker(app)
        await worker.start()
        early = await app.push(report.job)
        await until(lambda: state(early) == "succeeded")
        await apply(documented("capture.sql"))

        with request() as trace_id:
            reference = await app.push(report.job.with_kwargs(fails=1))
        is_(stored(reference), trace_id, "a producer that ran before the trigger goes on")
        await until(lambda: state(reference) == "succeeded")
        is_(
            seen[str(reference.identifier)],
            [trace_id] * 2,
            "so does a worker, which sees it in the metadata at both attempts",
        )
        with request() as trace_id:
            reference = await app.push(report.job.with_kwargs(fails=9))
        await until(lambda: state(reference) == "failed")
        is_(stored(reference), trace_id, "a job that failed for good keeps it")
        await worker.stop()

        held = report.job.with_queue("hold")
        with request() as trace_id:
            references = [r async for batch in app.push_many([held] * 3) for r in batch]
        is_([stored(r) for r in references], [trace_id] * 3, "push_many")
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


# The worker's other executor starts processes, which import this file.
if __name__ == "__main__":
    asyncio.run(main())
