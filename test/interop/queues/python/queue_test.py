"""What the queues in Python share: an application with OpenTelemetry that enqueues jobs."""

import asyncio
import contextlib
import os
import pathlib
import re
import subprocess
import sys

import psycopg
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "receiver"))
from otlp_receiver import Receiver  # noqa: E402

# kept from before an instrumentation replaces it
connect = psycopg.Connection.connect
QUEUE = pathlib.Path(sys.argv[0]).stem.removesuffix("_test").replace("_", "-")
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
receiver = None


def is_(got, expected, name):
    print(("ok" if got == expected else "not ok") + f" - {QUEUE}: {name}", flush=True)
    if got != expected:
        print(f"# got {got!r}, expected {expected!r}", flush=True)


def documented(name):
    """A statement that docs/queues.md shows for this queue."""
    return pathlib.Path("documented", QUEUE, name).read_text()


@contextlib.contextmanager
def request():
    """Runs its block in a request's span; gives the trace id."""
    with trace.get_tracer("test").start_as_current_span("request", context=Context()) as span:
        yield f"{span.get_span_context().trace_id:032x}"


def plain(sql, *parameters, **named):
    """Runs SQL on a connection that is instrumented by nobody; its rows."""
    with connect(autocommit=True) as connection:
        cursor = psycopg.Cursor(connection)
        cursor.execute(sql, parameters or named or None)
        return cursor.fetchall() if cursor.description else []


def received_spans():
    """What otel_links has exported, as OpenTelemetry's own classes decode it."""
    plain("SELECT otel.force_flush()")
    return receiver.spans


def client_traces(traceparents):
    """The trace of each, None for none; what names no span that the client exported stays whole."""
    exported = {
        (f"{context.trace_id:032x}", f"{context.span_id:016x}")
        for context in (span.get_span_context() for span in exporter.get_finished_spans())
    }
    return [
        text[3:35] if text and (text[3:35], text[36:52]) in exported else text or None
        for text in traceparents
    ]


def row_traces(sql, *parameters):
    """The traces of the traceparents that a query gives, as client_traces() has them."""
    return client_traces([row[0] for row in plain(sql, *parameters)])


def linked_traces(statement):
    """The traces of what a batch span is linked to, as client_traces() has them."""
    before = len(received_spans())
    with connect() as connection:
        cursor = psycopg.Cursor(connection)
        cursor.execute(statement)
        cursor.execute("SELECT otel.end_span()")
    [batch] = received_spans()[before:]
    return client_traces([f"00-{link['trace_id']}-{link['span_id']}" for link in batch["links"]])


def catalog(table):
    """What PostgreSQL's catalog has of a table: its columns, defaults, triggers, dependencies."""
    return plain(
        """SELECT 'column', a::text FROM pg_attribute a WHERE attrelid = %(table)s::regclass
           UNION ALL SELECT 'default', d::text FROM pg_attrdef d
            WHERE adrelid = %(table)s::regclass
           UNION ALL SELECT pg_get_triggerdef(oid), t::text FROM pg_trigger t
            WHERE tgrelid = %(table)s::regclass
           UNION ALL SELECT 'dependency', d::text FROM pg_depend d
            WHERE classid = 'pg_class'::regclass AND objid = %(table)s::regclass
               OR refclassid = 'pg_class'::regclass AND refobjid = %(table)s::regclass
            ORDER BY 1, 2""",
        table=table,
    )


@contextlib.contextmanager
def worker_process():
    """Runs this program with the argument "worker": a process without instrumentation, so that its
    statements are the same each time, and can be prepared.  Gives what tells of it."""
    database = os.environ["PGDATABASE"]
    plain(f"ALTER DATABASE {database} SET log_statement = 'all'")
    worker = subprocess.Popen([sys.executable, sys.argv[0], "worker"])
    worker.prepared = prepared_since_now()
    try:
        yield worker
    finally:
        worker.terminate()
        worker.wait()
        plain(f"ALTER DATABASE {database} RESET log_statement")


def prepared_since_now():
    """A function that tells whether a named prepared statement with a text in it was executed
    after this call, by the server's log."""
    log = pathlib.Path(os.environ["CLUSTER_LOG"])
    start = len(log.read_bytes())

    def prepared(text):
        added = log.read_bytes()[start:].decode(errors="replace")
        statements = re.findall(r" execute (?!<unnamed>)\S+: (.*(?:\n\t.*)*)", added)
        return any(text in statement for statement in statements)

    return prepared


@contextlib.contextmanager
def prepared_session(sql):
    """A session that has executed a prepared statement; what executes that again, for its rows."""
    with connect(autocommit=True) as session:

        def execute():
            return psycopg.Cursor(session).execute(sql, prepare=True).fetchall()

        execute()
        yield execute


async def apply(sql):
    """Runs SQL without stopping the event loop, whose worker may hold a lock that it waits for."""
    await asyncio.to_thread(plain, sql)


async def until(condition):
    """Waits for a condition, for half a minute at most."""
    for _ in range(300):
        if await asyncio.to_thread(condition):
            return
        await asyncio.sleep(0.1)
    raise TimeoutError("in vain")


def database_url():
    return "postgresql://{PGUSER}@127.0.0.1:{PGPORT}/{PGDATABASE}".format(**os.environ)


def new_database():
    """An empty database with the extension, which exports to a receiver in this process."""
    global receiver
    receiver = Receiver()
    name = "queue_" + QUEUE.replace("-", "_")
    with psycopg.connect(dbname="postgres", autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        server.execute(f"CREATE DATABASE {name}")
        server.execute("LOAD 'otel_links'")
        server.execute(f"ALTER DATABASE {name} SET otel.exporter_otlp_endpoint = '{receiver.url}'")
    os.environ["PGDATABASE"] = name
    plain("SET client_min_messages = warning; CREATE EXTENSION otel_links")
    return database_url()
