"""awa: the metadata in the JSON of its jobs.  Prints TAP lines.

Its own client, which is Rust, sends no comment; jobs that the application inserts over its psycopg
connection, with awa's bridge, have one.
"""

import asyncio
import dataclasses
import os
import pathlib
import subprocess
import sys
from subprocess import PIPE

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
    prepared_since_now,
    request,
    row_traces,
    until,
)

URL = new_database()
PsycopgInstrumentor().instrument(enable_commenter=True)
import awa  # noqa: E402
import psycopg  # noqa: E402
from awa.bridge import insert_job_sync  # noqa: E402
from opentelemetry.propagate import inject  # noqa: E402

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
    return row_traces(
        "SELECT otel.traceparent(otel.extract(metadata)) FROM awa.jobs WHERE id = %s", job["id"]
    )[0]


def queued(queue):
    """The traces of the jobs of a queue."""
    return row_traces(
        "SELECT otel.traceparent(otel.extract(metadata)) FROM awa.jobs WHERE queue = %s", queue
    )


def tables():
    """What the catalog has of the tables that the page's statement names."""
    return [
        catalog(f"awa.{table}")
        for table in ("ready_entries", "deferred_jobs", "jobs_hot", "scheduled_jobs")
    ]


async def insert_many(client):
    """Many jobs at once: by the library's COPY, which has its own connection, and by SQL."""
    with request() as trace_id:
        carrier = {}
        inject(carrier)
        await client.insert_many_copy([Report()] * 3, queue="copied", metadata=carrier)
        await client.enqueue_many_copy([Report()] * 3, queue="enqueued", metadata=carrier)
    is_(
        (queued("copied"), queued("enqueued")),
        ([trace_id] * 3, [trace_id] * 3),
        "insert_many_copy and enqueue_many_copy keep a carrier in the metadata",
    )
    with request():
        await client.insert_many_copy([Report()] * 2, queue="bare", metadata={"tenant": "a"})
    is_(
        plain("SELECT metadata FROM awa.jobs WHERE queue = 'bare'"),
        [({"tenant": "a"},)] * 2,
        "without one there is no context, since awa's connection sends none, and nothing is lost",
    )
    with request() as trace_id, psycopg.connect(autocommit=True) as connection:
        connection.execute(
            "SELECT awa.insert_job_compat('report', 'by sql', '{}', 'available', 2::smallint,"
            " 25::smallint, NULL, '{}', '{}', NULL, NULL, NULL) FROM generate_series(1, 3)"
        )
    is_(queued("by sql"), [trace_id] * 3, "many at once by the library's SQL function")


async def insert_by_sql():
    """A plain INSERT into the library's view of jobs."""
    before = set(seen)
    with request() as trace_id, psycopg.connect(autocommit=True) as connection:
        connection.execute("INSERT INTO awa.jobs (kind, queue) VALUES ('report', 'work')")
    await until(lambda: set(seen) - before)
    [job] = set(seen) - before
    is_(client_traces(seen[job]), [trace_id], "a job that SQL inserts into awa.jobs")


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
            return client_traces(seen[job["id"]])
        await asyncio.sleep(0.1)
    raise TimeoutError("in vain")


async def main():
    upgrade()
    migrate()
    plain(f"ALTER DATABASE {os.environ['PGDATABASE']} SET log_statement = 'all'")
    prepared = prepared_since_now()
    client = awa.AsyncClient(URL)

    @client.task(Report, queue="work")
    async def report(job):
        metadata = dict(job.metadata or {})
        seen.setdefault(job.id, []).append(metadata.get("traceparent", ""))
        if job.attempt <= job.args.fails:
            raise RuntimeError("as the test wants it")

    await client.start([("work", 4)])
    _, early = insert("work")
    await seen_times(early, 1)
    plain(f"ALTER DATABASE {os.environ['PGDATABASE']} RESET log_statement")
    before = tables()
    await apply(documented("capture.sql"))
    trace_id, job = insert("work")
    is_(await seen_times(job, 1), [trace_id], "a worker that ran before goes on, and sees it")
    is_(prepared("awa."), True, "though its statements are prepared")
    trace_id, job = insert("work", fails=1)
    is_(await seen_times(job, 2), [trace_id] * 2, "at the second attempt as well")

    trace_id, job = insert("work", fails=1, max_attempts=1)
    failed = "SELECT 1 FROM awa.jobs WHERE id = %s AND state = 'failed'"
    await until(lambda: plain(failed, job["id"]))
    is_(stored(job), trace_id, "a job that failed for good keeps it")
    await client.move_failed_to_dlq(job["id"], "as the test wants it")
    await client.retry_from_dlq(job["id"])
    is_(await seen_times(job, 2), [trace_id] * 2, "so does a dead letter that is tried again")

    await insert_by_sql()
    await insert_many(client)
    traces = [insert("items")[0] for _ in range(20)]
    is_(
        sorted(linked_traces(documented("batch.sql"))),
        sorted(traces),
        "a batch span is linked to every job",
    )
    remove()
    is_(stored(insert("plain")[1]), None, "taken off, nothing is captured")
    is_(tables(), before, "and the catalog has the tables as they were")
    await client.shutdown()


asyncio.run(main())
