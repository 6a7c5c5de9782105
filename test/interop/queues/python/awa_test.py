"""awa: the metadata in the JSON of its jobs.  Prints TAP lines.

Its own client, which is Rust, sends no comment; jobs that the application inserts over its psycopg
connection, with awa's bridge, have one.
"""

import asyncio
import dataclasses
import pathlib
import subprocess
import sys
from subprocess import PIPE

from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor

from queue_test import apply, documented, is_, linked_traces, new_database, plain, request, until

URL = new_database()
PsycopgInstrumentor().instrument(enable_commenter=True)
import awa  # noqa: E402
import psycopg  # noqa: E402
from awa.bridge import insert_job_sync  # noqa: E402

PROGRAM = pathlib.Path(sys.executable).with_name("awa")
seen = {}


@dataclasses.dataclass
class Report:
    fails: int = 0


def insert(queue, fails=0, **options):
    """A request inserts a job, over a connection of its own; the trace and the job."""
    with request() as trace_id, psycopg.connect(autocommit=True) as connection:
        return trace_id, insert_job_sync(connection, Report(fails), queue=queue, **options)


def stored(job):
    return plain(
        "SELECT otel.trace_id(otel.extract(metadata)) FROM awa.jobs WHERE id = %s", job["id"]
    )[0][0]


def migrate():
    subprocess.run([PROGRAM, "--database-url", URL, "migrate"], check=True, capture_output=True)


def upgrade():
    """An old installation, which keeps jobs in other tables, is migrated over the triggers."""
    first = subprocess.run([PROGRAM, "migrate", "--sql", "--to", "25"], check=True, stdout=PIPE)
    plain(first.stdout.decode())
    plain(documented("capture.sql"))
    migrate()
    trace_id, job = insert("early")
    is_(stored(job), trace_id, "the library's migrations from 26 on run over the triggers")
    is_(plain("SELECT count(*) FROM awa.jobs_hot"), [(1,)], "into the storage of an old one")
    plain("DROP SCHEMA awa CASCADE")


def remove():
    """Takes off what the page's statement puts on."""
    plain(
        "SELECT otel.remove_capture(tgrelid, substring(tgname, 'otel_capture_(.*)'))"
        " FROM pg_trigger WHERE tgfoid = 'otel.capture_trace_context'::regproc"
    )


async def seen_times(job, times):
    for _ in range(300):
        if len(seen.get(job["id"], [])) >= times:
            return seen[job["id"]]
        await asyncio.sleep(0.1)
    raise TimeoutError("in vain")


async def main():
    upgrade()
    migrate()
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
    await apply(documented("capture.sql"))
    trace_id, job = insert("work")
    is_(await seen_times(job, 1), [trace_id], "a worker that ran before goes on, and sees it")
    trace_id, job = insert("work", fails=1)
    is_(await seen_times(job, 2), [trace_id] * 2, "at the second attempt as well")

    trace_id, job = insert("work", fails=1, max_attempts=1)
    failed = "SELECT 1 FROM awa.jobs WHERE id = %s AND state = 'failed'"
    await until(lambda: plain(failed, job["id"]))
    is_(stored(job), trace_id, "a job that failed for good keeps it")
    await client.move_failed_to_dlq(job["id"], "as the test wants it")
    await client.retry_from_dlq(job["id"])
    is_(await seen_times(job, 2), [trace_id] * 2, "so does a dead letter that is tried again")

    traces = [insert("items")[0] for _ in range(20)]
    is_(
        sorted(linked_traces(documented("batch.sql"))),
        sorted(traces),
        "a batch span is linked to every job",
    )
    remove()
    is_(stored(insert("plain")[1]), None, "taken off, nothing is captured")
    await client.shutdown()


asyncio.run(main())
