"""What the queues in Python share: an application with OpenTelemetry that enqueues jobs."""

import asyncio
import contextlib
import os
import pathlib
import sys

import psycopg
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

# kept from before an instrumentation replaces it
connect = psycopg.Connection.connect
QUEUE = pathlib.Path(sys.argv[0]).stem.removesuffix("_test").replace("_", "-")
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)


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


def plain(sql, *parameters):
    """Runs SQL on a connection that is instrumented by nobody; its rows."""
    with connect(autocommit=True) as connection:
        cursor = psycopg.Cursor(connection)
        cursor.execute(sql, parameters or None)
        return cursor.fetchall() if cursor.description else []


def linked_traces(statement):
    """The traces that a batch span is linked to; the span itself is discarded."""
    with connect() as connection:
        cursor = psycopg.Cursor(connection)
        cursor.execute(statement)
        cursor.execute("SELECT otel.end_span()")
    rows = plain("SELECT otel.trace_id(l.context) FROM otel.span_queue q, unnest(q.links) l")
    plain("TRUNCATE otel.span_queue")
    return [row[0] for row in rows]


async def until(condition):
    """Waits for a condition, for half a minute at most."""
    for _ in range(300):
        if await asyncio.to_thread(condition):
            return
        await asyncio.sleep(0.1)
    raise TimeoutError("in vain")


def new_database():
    """An empty database with the extension, which keeps its spans."""
    name = "queue_" + QUEUE.replace("-", "_")
    with psycopg.connect(dbname="postgres", autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        server.execute(f"CREATE DATABASE {name}")
        server.execute("LOAD 'otel_links'")
        server.execute(f"ALTER DATABASE {name} SET otel.traces_exporter = none")
    os.environ["PGDATABASE"] = name
    plain("SET client_min_messages = warning; CREATE EXTENSION otel_links")
    return f"postgresql://{os.environ['PGUSER']}@127.0.0.1:{os.environ['PGPORT']}/{name}"
