"""What the comments of OpenTelemetry's Python instrumentations make of rows.  Prints TAP lines.

client.py psycopg|psycopg2|sqlalchemy
"""

import sys

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

INSERT = "INSERT INTO instrumented_jobs (how) VALUES "
RECORDED = """WITH gone AS (DELETE FROM instrumented_jobs RETURNING id, trace_context)
              SELECT trace_context::text FROM gone ORDER BY id"""

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("test")


def traceparent(context):
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def exported():
    """The spans of the INSERTs since the last call."""
    spans = [
        traceparent(span.context)
        for span in exporter.get_finished_spans()
        if INSERT
        in (span.attributes.get("db.statement") or span.attributes.get("db.query.text") or "")
    ]
    exporter.clear()
    return spans


def is_(got, expected, name):
    print(("ok" if got == expected else "not ok") + f" - {sys.argv[1]}: {name}")
    if got != expected:
        print(f"# got {got!r}, expected {expected!r}")


def check(execute, parameter):
    """execute(sql, parameters or None) runs a statement and returns its rows, if it has any."""

    def recorded():
        return [row[0] for row in execute(RECORDED, None)]

    exported()
    execute(INSERT + "('no parameters')", None)
    is_(recorded(), exported(), "no parameters")

    execute(INSERT + f"({parameter})", ("parameters",))
    is_(recorded(), exported(), "parameters")

    execute(INSERT + f"({parameter});", ("a semicolon",))
    is_(recorded(), exported(), "a semicolon")

    for number in range(8):
        execute(INSERT + f"({parameter})", (f"again {number}",))
    again = exported()
    is_(len(set(again)), 8, "the same text eight times has eight spans")
    is_(recorded(), again, "the same text eight times")

    with tracer.start_as_current_span("request") as request:
        exported()
        execute(INSERT + f"({parameter})", ("in a request",))
        span = exported()
        rows = recorded()
        is_(rows, span, "in a request")
        is_(
            rows[0][3:35],
            f"{request.get_span_context().trace_id:032x}",
            "in the trace of the request",
        )

    remote = NonRecordingSpan(
        SpanContext(
            0x4BF92F3577B34DA6A3CE929D0E0E4736,
            0x00F067AA0BA902B7,
            True,
            TraceFlags(1),
            TraceState([("vendor", "a b"), ("other", "c%d")]),
        )
    )
    with trace.use_span(remote):
        execute(INSERT + f"({parameter})", ("with a tracestate",))
    is_(recorded(), [span + ";vendor=a b,other=c%d" for span in exported()], "with a tracestate")


def check_many(cursor, recorded):
    """executemany() with one comment: one span, and the rows of one call."""
    exported()
    cursor.executemany(INSERT + "(%s)", [(f"many {number}",) for number in range(20)])
    spans = exported()
    is_(len(spans), 1, "executemany has one span")
    is_(recorded(), spans * 20, "executemany")


def cursor_executor(cursor):
    def execute(sql, parameters):
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else None

    return execute


def run_psycopg():
    from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor

    PsycopgInstrumentor().instrument(enable_commenter=True)
    import psycopg

    with psycopg.connect("", autocommit=True) as connection:
        cursor = connection.cursor()
        execute = cursor_executor(cursor)
        check(execute, "%s")
        check_many(cursor, lambda: [row[0] for row in execute(RECORDED, None)])
    # with a statement prepared at first sight, each text is still executed once
    with psycopg.connect("", autocommit=True, prepare_threshold=0) as connection:
        check(cursor_executor(connection.cursor()), "%s")


def run_psycopg2():
    from opentelemetry.instrumentation.psycopg2 import Psycopg2Instrumentor

    Psycopg2Instrumentor().instrument(enable_commenter=True)
    import psycopg2

    connection = psycopg2.connect("")
    connection.autocommit = True
    cursor = connection.cursor()
    execute = cursor_executor(cursor)
    check(execute, "%s")
    check_many(cursor, lambda: [row[0] for row in execute(RECORDED, None)])


def run_sqlalchemy():
    import sqlalchemy
    from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor

    SQLAlchemyInstrumentor().instrument(enable_commenter=True)
    for driver in ("psycopg", "psycopg2"):
        engine = sqlalchemy.create_engine(f"postgresql+{driver}://", isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:

            def execute(sql, parameters):
                result = connection.execute(
                    sqlalchemy.text(sql), {"how": parameters[0]} if parameters else {}
                )
                return result.fetchall() if result.returns_rows else None

            check(execute, ":how")


{"psycopg": run_psycopg, "psycopg2": run_psycopg2, "sqlalchemy": run_sqlalchemy}[sys.argv[1]]()
