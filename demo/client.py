"""The service that asks for reports: 300 requests, most of them traced, over real connections.

It is instrumented as any service is, with OpenTelemetry's SDK: a request is a SERVER span and each
of its transactions a CLIENT span in it, and both are exported.  The context of the CLIENT span goes
to the database in one of two ways: in a comment of the INSERT, as OpenTelemetry's database
instrumentations write it, or by otel.set_trace_context().  What was sent is kept, so that prove.py
can compare it with what came out at the other end.
"""

import concurrent.futures
import dataclasses
import random
import urllib.parse

import psycopg
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import SpanKind, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

SERVICE = "report-api"
REQUEST_SPAN = "POST /reports"
INSERT_SPAN = "INSERT report_requests"
CONNECTIONS = 4
REQUESTS = 200
SECOND_CALLS = 30  # requests with a second transaction, so with another CLIENT span
SEVERAL_ROWS = 20  # transactions that ask for three reports
NO_CONTEXT = 15
MALFORMED = [
    "00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01",  # upper case
    "00-00000000000000000000000000000000-00f067aa0ba902b7-01",  # no trace
    "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",  # no span
    "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",  # a version that cannot be
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",  # 00 ends after the flags
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",  # no flags
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",  # no hex
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "'; DROP TABLE report_requests; --",
    "𝟘𝟘-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "null",
    "-",
    " ",
    "00--00f067aa0ba902b7-01",
    "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
]


@dataclasses.dataclass
class Call:
    """One transaction that inserts a row or several, and what it sent about its trace."""

    way: str  # comment or function
    rows: int = 1
    valid: bool = True
    traceparent: str | None = None
    tracestate: str | None = None
    request_ids: list = dataclasses.field(default_factory=list)

    @property
    def context(self):
        """The text of the otel.trace_context that its rows should have."""
        if not self.valid:
            return None
        return self.traceparent + (f";{self.tracestate}" if self.tracestate else "")

    @property
    def trace_id(self):
        return self.traceparent.split("-")[1]

    @property
    def span_id(self):
        return self.traceparent.split("-")[2]

    @property
    def flags(self):
        return int(self.traceparent.split("-")[3], 16)


class VendorSampler(Sampler):
    """Samples everything, and gives every fifth trace a tracestate, as some vendors do."""

    def should_sample(self, parent_context, trace_id, name, kind=None, attributes=None, links=None):
        state = (
            TraceState([("vendor", f"t{trace_id % 1000}"), ("other", "1")])
            if trace_id % 5 == 0
            else None
        )
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, state)

    def get_description(self):
        return "VendorSampler"


def plan(seed=4318):
    """The requests, each a list of calls, in the order in which the connections get them."""
    rng = random.Random(seed)
    requests = [[Call("comment" if i % 2 else "function")] for i in range(REQUESTS)]
    for several in rng.sample(requests, SECOND_CALLS):
        several.append(Call(several[0].way))
    for several in rng.sample([call for request in requests for call in request], SEVERAL_ROWS):
        several.rows = 3
    requests += [[Call("function", valid=False)] for _ in range(NO_CONTEXT)]
    requests += [
        [
            Call(
                "comment" if i % 2 else "function",
                valid=False,
                traceparent=malformed,
                tracestate="vendor=1",
            )
        ]
        for i, malformed in enumerate(MALFORMED)
    ]
    rng.shuffle(requests)
    return requests


def run(conninfo, endpoint=None):
    """Makes all requests; returns their calls with the ids of their rows.

    The spans go to the endpoint or, when it is None, where the environment's OTEL_EXPORTER_OTLP_
    variables say.
    """
    provider = TracerProvider(
        resource=Resource.create({"service.name": SERVICE}),
        sampler=ParentBased(VendorSampler()),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=endpoint and f"{endpoint}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer(SERVICE)
    requests = plan()
    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        shares = [requests[i::CONNECTIONS] for i in range(CONNECTIONS)]
        list(pool.map(lambda share: _work(conninfo, tracer, share), shares))
    provider.shutdown()
    return [call for request in requests for call in request]


def _work(conninfo, tracer, requests):
    """Makes one connection's requests, one after the other."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for i, request in enumerate(requests):
            user = 1000 + 10 * i
            if not request[0].valid:
                _insert(connection, request[0], user)
                continue
            attributes = {
                "http.request.method": "POST",
                "http.route": "/reports",
                "enduser.id": str(user),
            }
            with tracer.start_as_current_span(
                REQUEST_SPAN, kind=SpanKind.SERVER, attributes=attributes
            ) as span:
                for call in request:
                    _traced_insert(connection, tracer, call, user)
                span.set_attribute("http.response.status_code", 202)


def _traced_insert(connection, tracer, call, user):
    attributes = {
        "db.system.name": "postgresql",
        "db.operation.name": "INSERT",
        "db.collection.name": "report_requests",
    }
    with tracer.start_as_current_span(INSERT_SPAN, kind=SpanKind.CLIENT, attributes=attributes):
        headers = {}
        TraceContextTextMapPropagator().inject(headers)
        call.traceparent, call.tracestate = headers["traceparent"], headers.get("tracestate")
        _insert(connection, call, user)


def _insert(connection, call, user):
    """Runs the call's transaction, which says in the call's way to which trace it belongs."""
    insert = "INSERT INTO report_requests (user_id) VALUES (%s) RETURNING id"
    if call.way == "comment":
        headers = {"traceparent": call.traceparent, "tracestate": call.tracestate}
        tags = ",".join(
            f"{key}='{urllib.parse.quote(value, safe='')}'"
            for key, value in headers.items()
            if value
        )
        insert += f" /*{tags.replace('%', '%%')}*/"
    with connection.transaction(), connection.cursor() as cursor:
        if call.way == "function" and call.traceparent is not None:
            cursor.execute(
                "SELECT otel.set_trace_context(%s, %s)", (call.traceparent, call.tracestate)
            )
        for row in range(call.rows):
            cursor.execute(insert, (user + row,))
            call.request_ids.append(cursor.fetchone()[0])
