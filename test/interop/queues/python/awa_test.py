"""awa: the metadata in the JSON of its jobs.  Prints TAP lines.

Its own client, which is Rust, sends no comment; jobs that the application inserts over its psycopg
connection, with awa's bridge, have one.
"""

import asyncio
import dataclasses
import pathlib
import subprocess
import sys

from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor

from queue_test import documented, is_, linked_traces, new_database, plain, request

URL = new_database()
PsycopgInstrumentor().instrument(enable_commenter=True)
import awa  # noqa: E402
import psycopg  # noqa: E402
from awa.bridge import insert_job_sync  # noqa: E402

seen = {}


@dataclasses.dataclass
class Report:
    fails: int = 0


def insert(queue, fails=0):
    """A request inserts a job, over a connection of its own; the trace and the job."""
    with request() as trace_id, psycopg.connect(autocommit=True) as connection:
        return trace_id, insert_job_sync(connection, Report(fails), queue=queue)


async def seen_times(job, times):
    for _ in range(300):
        if len(seen.get(job["id"], [])) >= times:
            return seen[job["id"]]
        await asyncio.sleep(0.1)
    raise TimeoutError("in vain")


async def main():
    program = pathlib.Path(sys.executable).with_name("awa")
    subprocess.run([program, "--database-url", URL, "migrate"], check=True, capture_output=True)
    client = awa.AsyncClient(URL)

    @client.task(Report, queue="work")
    async def report(job):
        metadata = dict(job.metadata or {})
        seen.setdefault(job.id, []).append(metadata.get("traceparent", "")[3:35])
        if job.attempt <= job.args.fails:
            raise RuntimeError("as the test wants it")

    await client.start([("work", 4)])
    _, early = insert("work")
    await seen_times(early, 1)
    plain(documented("capture.sql"))
    trace_id, job = insert("work")
    is_(await seen_times(job, 1), [trace_id], "a worker that ran before goes on, and sees it")
    trace_id, job = insert("work", fails=1)
    is_(await seen_times(job, 2), [trace_id] * 2, "at the second attempt as well")

    traces = [insert("items")[0] for _ in range(20)]
    is_(
        sorted(linked_traces(documented("batch.sql"))),
        sorted(traces),
        "a batch span is linked to every job",
    )
    await client.shutdown()


asyncio.run(main())
