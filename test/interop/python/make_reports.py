"""A job in Python: claims the pending report requests, makes the reports, and exports one span that
is linked to the trace of every request.

The database is named by PGHOST, PGDATABASE and so on, the collector by OTEL_EXPORTER_OTLP_ENDPOINT.
"""

import psycopg
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags, TraceState
from psycopg.rows import namedtuple_row

CLAIM = """
    UPDATE report_request SET state = 'done'
     WHERE id IN (SELECT id FROM report_request WHERE state = 'pending'
                   ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED)
    RETURNING id, trace_context, attributes
"""

# One statement claims the rows and gives their links: no row can be claimed and not linked.
CLAIM_AND_LINK = f"""
    WITH claimed AS ({CLAIM}),
    batch AS (
        SELECT count(*) AS requests,
               otel.link_agg(trace_context, attributes || jsonb_build_object('report.id', id)
                             ORDER BY id) AS links
          FROM claimed)
    SELECT batch.requests, link.* FROM batch LEFT JOIN otel.span_links(batch.links) AS link ON true
"""


def to_link(row):
    """A row of otel.span_links() as the SDK's Link.

    >>> from types import SimpleNamespace
    >>> link = to_link(SimpleNamespace(
    ...     trace_id="0af7651916cd43dd8448eb211c80319c", span_id="b7ad6b7169203331", trace_flags=1,
    ...     trace_state="rojo=00f067aa0ba902b7,congo=t61", is_remote=True,
    ...     attributes={"report.id": 7}))
    >>> link.context.trace_state.to_header(), link.context.trace_flags, link.context.is_remote
    ('rojo=00f067aa0ba902b7,congo=t61', 1, True)
    """
    context = SpanContext(
        trace_id=int(row.trace_id, 16),
        span_id=int(row.span_id, 16),
        is_remote=row.is_remote,
        trace_flags=TraceFlags(row.trace_flags),
        trace_state=TraceState.from_header([row.trace_state or ""]),
    )
    return Link(context, row.attributes)


def main():
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    tracer = provider.get_tracer("make_reports")

    with psycopg.connect("", row_factory=namedtuple_row) as connection:
        rows = connection.execute(CLAIM_AND_LINK).fetchall()
        links = [to_link(row) for row in rows if row.trace_id]
        # An empty context, because the job is the root of a trace of its own.
        with tracer.start_as_current_span(
            "make_reports",
            context=Context(),
            kind=SpanKind.CONSUMER,
            links=links,
            attributes={"messaging.batch.message_count": rows[0].requests},
        ):
            pass  # … make the reports …

    provider.shutdown()


if __name__ == "__main__":
    main()
