"""What the Python stacks share: an SDK that keeps its spans, requests, and a look at the rows."""

import contextlib
import os

import psycopg
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("test")
STACK = os.path.basename(os.getcwd())
UNSAMPLED = NonRecordingSpan(
    SpanContext(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7, True, TraceFlags(0))
)


def is_(got, expected, name):
    print(("ok" if got == expected else "not ok") + f" - {STACK}: {name}", flush=True)
    if got != expected:
        print(f"# got {got!r}, expected {expected!r}", flush=True)


def traceparent(context):
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def admin(sql):
    """Runs SQL on a connection that is instrumented by nobody; its rows."""
    connection = psycopg.connection.Connection.connect(autocommit=True)
    connection.add_notice_handler(lambda notice: None)
    with connection, psycopg.Cursor(connection) as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


@contextlib.contextmanager
def request():
    """A request's span, the root of a trace."""
    with tracer.start_as_current_span("request", context=Context()) as span:
        yield span.get_span_context()


def recorded(table="jobs"):
    """The contexts of the rows since the last call."""
    return [
        row[0]
        for row in admin(
            f"WITH gone AS (DELETE FROM {table} RETURNING id, trace_context) "
            "SELECT trace_context::text FROM gone ORDER BY id"
        )
    ]


def client_spans():
    """The client spans of INSERTs since the last call."""
    spans = [
        traceparent(span.context)
        for span in exporter.get_finished_spans()
        if span.kind.name == "CLIENT"
        and "INSERT"
        in str(span.attributes.get("db.statement") or span.attributes.get("db.query.text"))
    ]
    exporter.clear()
    return spans
