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


def plain(sql, *parameters):
    """Runs SQL on a connection that is instrumented by nobody; its rows."""
    with connect(autocommit=True) as connection:
        cursor = psycopg.Cursor(connection)
        cursor.execute(sql, parameters or None)
        return cursor.fetchall() if cursor.description else []


def received_spans():
    """What otel_links has exported, as OpenTelemetry's own classes decode it."""
    plain("SELECT otel.force_flush()")
    return receiver.spans


def linked_traces(statement):
    """The traces of what a batch span is linked to; "unknown" for what is no span of the client."""
    before = len(received_spans())
    with connect() as connection:
        cursor = psycopg.Cursor(connection)
        cursor.execute(statement)
        cursor.execute("SELECT otel.end_span()")
    [batch] = received_spans()[before:]
    exported = {
        (f"{context.trace_id:032x}", f"{context.span_id:016x}")
        for context in (span.get_span_context() for span in exporter.get_finished_spans())
    }
    return [
        link["trace_id"] if (link["trace_id"], link["span_id"]) in exported else "unknown"
        for link in batch["links"]
    ]


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
    return f"postgresql://{os.environ['PGUSER']}@127.0.0.1:{os.environ['PGPORT']}/{name}"
