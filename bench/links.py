#!/usr/bin/env python3
"""What it costs to make links of pending rows.

    links.py [--rows N]

1. otel.link_agg() over N pending rows, of which 1, 10 and 100 % are distinct, with and without
   attributes, beside what plain SQL offers: array_agg(DISTINCT …) of the type, and splitting a text
   column with split_part() or regexp_match().
2. link_agg() over N and N / 10 rows: is the cost linear?
3. The whole step of a job, claiming 10,000 rows and building their links: in the database, and in a
   client that reads text columns and builds the links with OpenTelemetry's SDK.

All numbers are CPU time, of the server's process and, if it does the work, of the client; the least
of five attempts counts.  That is what a job takes from others, and it is nearly the same on a busy
machine.  Plans are not parallel.
"""

import argparse
import time

import psycopg
from opentelemetry import trace
from opentelemetry.trace import Link
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

ATTEMPTS = 5
CLAIM = 10_000

SPLIT_PART = """
    split_part(traceparent, '-', 2) AS trace_id, split_part(traceparent, '-', 3) AS span_id,
    ('x' || split_part(traceparent, '-', 4))::bit(8)::int AS trace_flags"""
REGEXP = "regexp_match(traceparent, '^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$')"


def count_of(aggregate):
    return f"SELECT cardinality({aggregate}) FROM {{table}}"


def count_of_distinct(columns):
    return f"SELECT cardinality(array_agg(l)) FROM (SELECT DISTINCT {columns} FROM {{table}}) AS l"


WITHOUT_ATTRIBUTES = {
    "otel.link_agg": count_of("otel.link_agg(trace_context)"),
    "array_agg(DISTINCT context)": count_of("array_agg(DISTINCT trace_context)"),
    "array_agg(DISTINCT span_link)": count_of("array_agg(DISTINCT otel.span_link(trace_context))"),
    "text, split_part": count_of_distinct(SPLIT_PART),
    "text, regexp_match": count_of_distinct(REGEXP),
}
WITH_ATTRIBUTES = {
    "otel.link_agg": count_of("otel.link_agg(trace_context, attributes)"),
    "array_agg(DISTINCT span_link)": count_of(
        "array_agg(DISTINCT otel.span_link(trace_context, attributes))"
    ),
    "text, split_part": count_of_distinct(SPLIT_PART + ", attributes"),
    "text, regexp_match": count_of_distinct(REGEXP + ", attributes"),
}


class Server:
    """A connection, and the CPU time of its process."""

    def __init__(self):
        self.connection = psycopg.connect("", autocommit=True)
        self.pid = self.connection.info.backend_pid
        self.execute("SET max_parallel_workers_per_gather = 0")
        self.execute("SET work_mem = '1GB'")  # nobody is to spill to disk

    def execute(self, query):
        return self.connection.execute(query)

    def cpu(self):
        """Milliseconds that the process has run; Linux counts them by the nanosecond."""
        with open(f"/proc/{self.pid}/schedstat", encoding="ascii") as schedstat:
            return int(schedstat.read().split()[0]) / 1e6

    def best(self, query):
        """Milliseconds, and the one value that the query returns."""
        used = []
        for _ in range(ATTEMPTS):
            began = self.cpu()
            value = self.execute(query).fetchone()[0]
            used.append(self.cpu() - began)
            if used[-1] > 5000:  # what takes that long is known well enough
                break
        return min(used), value


def fill(server, table, rows, distinct):
    server.execute(f"""
        CREATE UNLOGGED TABLE {table} (id int PRIMARY KEY, state text, traceparent text,
                                       trace_context otel.trace_context, attributes jsonb)
    """)
    server.execute(f"""
        INSERT INTO {table}
        SELECT i, 'pending', otel.traceparent(c), c,
               jsonb_build_object('messaging.message.id', k::text)
          FROM (SELECT i, i % {distinct} AS k,
                       otel.from_ids(md5((i % {distinct})::text),
                                     right(md5('s' || i % {distinct}), 16), 1) AS c
                  FROM generate_series(1, {rows}) AS i) AS s
    """)
    server.execute(f"VACUUM ANALYZE {table}")


def compare(server, rows):
    print(f"\n{rows:,} rows, CPU in ms (and how many times link_agg's)\n")
    print("| distinct | attributes | reading the column | " + " | ".join(WITHOUT_ATTRIBUTES) + " |")
    print("|---|---|---|" + "---|" * len(WITHOUT_ATTRIBUTES))
    least = {}
    for percent in (1, 10, 100):
        table = f"pending_{percent}"
        fill(server, table, rows, rows * percent // 100)
        for attributes, queries in (("no", WITHOUT_ATTRIBUTES), ("yes", WITH_ATTRIBUTES)):
            scan, _ = server.best(f"SELECT count(trace_context), count(attributes) FROM {table}")
            reference, links = server.best(queries["otel.link_agg"].replace("{table}", table))
            cells = [f"{scan:.0f}", f"{reference:.0f}"]
            for name in list(WITHOUT_ATTRIBUTES)[1:]:
                if name not in queries:
                    cells.append("")
                    continue
                used, same = server.best(queries[name].replace("{table}", table))
                assert same == links, (name, same, links)
                cells.append(f"{used:.0f} ({used / reference:.1f})")
                least[name] = min(least.get(name, used / reference), used / reference)
            print(f"| {percent} % | {attributes} | " + " | ".join(cells) + " |", flush=True)
    print()
    for name, ratio in least.items():
        print(f"{name}: at least {ratio:.1f} times link_agg's (goal: 3)")


def linear(server, rows):
    print()
    fill(server, "tenth", rows // 10, rows // 10)
    for attributes, queries in (("without", WITHOUT_ATTRIBUTES), ("with", WITH_ATTRIBUTES)):
        few, _ = server.best(queries["otel.link_agg"].replace("{table}", "tenth"))
        many, _ = server.best(queries["otel.link_agg"].replace("{table}", "pending_100"))
        print(
            f"ten times the rows, {attributes} attributes: {many / few:.1f} times the CPU "
            "(goal: at most 12)"
        )


CLAIM_ROWS = (
    "SELECT {columns} FROM pending_100 WHERE state = 'pending' "
    "ORDER BY id LIMIT 10000 FOR UPDATE SKIP LOCKED"
)


def link_in_the_database(server, argument):
    claim_rows = CLAIM_ROWS.replace("{columns}", "id, trace_context")
    [(links,)] = server.execute(
        f"SELECT cardinality(otel.link_agg({argument})) FROM ({claim_rows}) AS claimed"
    ).fetchall()
    assert links == CLAIM


def link_in_a_client(server, with_attributes):
    """What a job without the extension does: headers from text columns, and a link of each."""
    propagator = TraceContextTextMapPropagator()
    links = []
    for id_, traceparent in server.execute(
        CLAIM_ROWS.replace("{columns}", "id, traceparent")
    ).fetchall():
        context = propagator.extract({"traceparent": traceparent})
        attributes = {"messaging.message.id": str(id_)} if with_attributes else None
        links.append(Link(trace.get_current_span(context).get_span_context(), attributes))
    assert len(links) == CLAIM


def cpu_of(server, step):
    """Milliseconds of the server and of this process; rolled back, so that rows can be claimed
    again.
    """
    used = []
    for _ in range(ATTEMPTS * 2):
        server.execute("BEGIN")
        began = server.cpu(), time.process_time()
        step()
        used.append((server.cpu() - began[0], (time.process_time() - began[1]) * 1000))
        server.execute("ROLLBACK")
    return min(used, key=sum)


def claim(server):
    only, _ = cpu_of(
        server,
        lambda: server.execute(
            f"SELECT count(*) FROM ({CLAIM_ROWS.replace('{columns}', 'id, trace_context')}) AS c"
        ).fetchall(),
    )
    print(
        f"\nclaiming {CLAIM:,} rows and building their links, CPU in ms; "
        f"the claim itself is {only:.1f}\n"
    )
    print("| attributes | in the database | in a Python client: server | client | times |")
    print("|---|---|---|---|---|")
    for attributes, argument in (
        ("no", "trace_context"),
        ("yes", "trace_context, jsonb_build_object('messaging.message.id', id::text)"),
    ):
        inside = sum(cpu_of(server, lambda: link_in_the_database(server, argument)))
        outside, client = cpu_of(server, lambda: link_in_a_client(server, attributes == "yes"))
        print(
            f"| {attributes} | {inside:.1f} | {outside:.1f} | {client:.1f} "
            f"| {(outside + client) / inside:.1f}, without the claim "
            f"{(outside + client - only) / max(inside - only, 0.1):.1f} (goal: 10) |"
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    server = Server()
    server.execute("CREATE EXTENSION otel_links")
    print(server.execute("SELECT version()").fetchone()[0])
    compare(server, rows)
    linear(server, rows)
    claim(server)


if __name__ == "__main__":
    main()
