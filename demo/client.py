"""The service that asks for reports: 300 requests from 200 traces, over real connections.

All it does for tracing is what any client can do: set otel.traceparent and otel.tracestate for its
transaction.  What it sent is kept, so that prove.py can compare it with what came out at the other end.
"""

import concurrent.futures
import dataclasses
import random

import psycopg

CONNECTIONS = 4
TRACES = 200
SECOND_CALLS = 30  # traces that call a second time, from another span
SEVERAL_ROWS = 20  # calls that ask for three reports
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
    """One request to the service: a transaction that inserts a row or several."""

    traceparent: str | None
    tracestate: str | None = None
    valid: bool = True
    rows: int = 1
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

    @property
    def sampled(self):
        return bool(self.flags & 1)


def plan(seed=4318):
    """The calls, in the order in which they are handed to the connections."""
    rng = random.Random(seed)

    def call(trace_id, flags, tracestate):
        return Call(f"00-{trace_id:032x}-{rng.randrange(1, 2**64):016x}-{flags:02x}", tracestate)

    traces = []
    for i in range(TRACES):
        sampled = i % 3 != 2
        flags = (1 if sampled else 0) | (2 if i % 4 == 0 else 0)
        tracestate = f"vendor=t{i},other=1" if i % 5 == 0 else None
        traces.append((rng.randrange(1, 2**128), flags, tracestate))
    calls = [call(*trace) for trace in traces]
    calls += [call(*trace) for trace in rng.sample(traces, SECOND_CALLS)]
    for several in rng.sample(calls, SEVERAL_ROWS):
        several.rows = 3
    calls += [Call(None, valid=False) for _ in range(NO_CONTEXT)]
    calls += [Call(malformed, "vendor=1", valid=False) for malformed in MALFORMED]
    rng.shuffle(calls)
    return calls


def run(conninfo):
    """Makes all calls; returns them with the ids of their rows."""
    calls = plan()
    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        shares = [calls[i::CONNECTIONS] for i in range(CONNECTIONS)]
        list(pool.map(lambda share: _work(conninfo, share), shares))
    return calls


def _work(conninfo, calls):
    """One connection's share, each call in a transaction of its own."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for i, call in enumerate(calls):
            with connection.transaction(), connection.cursor() as cursor:
                for name, value in (("traceparent", call.traceparent), ("tracestate", call.tracestate)):
                    if value is not None:
                        cursor.execute("SELECT set_config(%s, %s, true)", (f"otel.{name}", value))
                for row in range(call.rows):
                    cursor.execute("INSERT INTO report_requests (user_id) VALUES (%s) RETURNING id",
                                   (1000 + 10 * i + row,))
                    call.request_ids.append(cursor.fetchone()[0])
