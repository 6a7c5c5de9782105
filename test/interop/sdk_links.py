#!/usr/bin/env python3
"""Proves that a program in another language rebuilds links as they are in the rows.

    sdk_links.py LANGUAGE COMMAND [ARG]…

Makes a database with a table of pending report requests on the server that PGHOST and PGPORT name,
starts an OTLP receiver, and runs COMMAND, which finds both by the usual variables: PGHOST, PGPORT,
PGUSER, PGDATABASE and OTEL_EXPORTER_OTLP_ENDPOINT.  The program is to claim the pending requests
and to export one span, make_reports, which has a link for each of them.  LANGUAGE is what its SDK
calls itself (telemetry.sdk.language).  Prints TAP.
"""

import json
import os
import pathlib
import subprocess
import sys

import psycopg

sys.path.append(str(pathlib.Path(__file__).parent.parent / "receiver"))
from checks import check, end  # noqa: E402
from otlp_receiver import Receiver  # noqa: E402

SCHEMA = """
    SET client_min_messages = warning;
    CREATE EXTENSION otel_links;
    CREATE TABLE report_request (
        id             int PRIMARY KEY,
        state          text NOT NULL DEFAULT 'pending',
        attributes     jsonb NOT NULL DEFAULT '{}',
        trace_context  otel.trace_context
    );
    -- every kind of flags (10 is a bit that is not defined yet), of tracestate and of attribute
    INSERT INTO report_request (id, attributes, trace_context)
    SELECT i, CASE i % 6 WHEN 0 THEN '{"report.customer": "Zoë & Søn 日本 😀"}'
                         WHEN 1 THEN '{"report.urgent": true, "report.draft": false}'
                         WHEN 2 THEN '{"report.share": 0.125, "report.bytes": 9007199254740991}'
                         WHEN 3 THEN '{"report.tags": ["a", "b"], "report.months": [1, 2, 3]}'
                         WHEN 4 THEN '{"report.note": ""}'
                         ELSE '{}' END::jsonb,
           otel.from_ids(md5((i / 3)::text), right(md5(i::text), 16),
                         (ARRAY[0, 1, 2, 3])[i % 4 + 1],
                         (ARRAY[NULL, 'congo=t61rcWkgMzE',
                                'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE',
                                'fw529a3039@dt=fw4;0;0,a=b'])[i % 4 + 1])
      FROM generate_series(1, 100) AS i;
    -- one that nobody traced
    INSERT INTO report_request (id) VALUES (101);
"""

# What the links must be, by the accessors of the type and not by what makes the links.
EXPECTED = """
    SELECT otel.trace_id(trace_context) AS trace_id, otel.span_id(trace_context) AS span_id,
           coalesce(otel.trace_state(trace_context), '') AS trace_state,
           otel.trace_flags(trace_context) AS trace_flags,
           attributes || jsonb_build_object('report.id', id) AS attributes
      FROM report_request WHERE trace_context IS NOT NULL ORDER BY id
"""

# What an SDK's exporter leaves out of links.  Exactly that: when it learns to send it, this must
# change.
NOT_EXPORTED = {
    "go": {"trace_state"},
    "python": {"trace_state", "trace_flags"},
}

# OTLP's link flags: what W3C calls trace flags, and whether the context is remote.
TRACE_FLAGS_MASK = 0xFF
IS_REMOTE_FLAGS = 0x300

def run(language, command, database):
    with Receiver() as receiver:
        environment = os.environ | {
            "PGDATABASE": database,
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_SERVICE_NAME": "report-job",
        }
        status = subprocess.run(command, env=environment, stdout=sys.stderr, check=False).returncode
        spans = receiver.spans
    check(status == 0, f"{language}: the program ends well", f"exit status {status}")
    check([s["name"] for s in spans] == ["make_reports"], f"{language}: it exports one span", spans)
    return spans[0] if spans else None


def comparable(link):
    fields = {
        name: link[name]
        for name in ("trace_id", "span_id", "trace_state", "trace_flags", "attributes")
    }
    return json.dumps(fields, sort_keys=True, ensure_ascii=False)


def compare(language, span, expected):
    sdk = span["resource"]["attributes"]["telemetry.sdk.language"]
    check(sdk == language, f"{language}: made with that language's SDK", sdk)
    check(
        span["kind"] == "consumer" and span["parent_span_id"] == "",
        f"{language}: a consumer, in a trace of its own",
        span,
    )
    check(
        span["attributes"] == {"messaging.batch.message_count": 101},
        f"{language}: the span counts the rows",
        span["attributes"],
    )

    links = span["links"]
    check(len(links) == len(expected), f"{language}: a link for each traced row", len(links))
    missing = NOT_EXPORTED.get(language, set())
    blank = {name: {"trace_state": "", "trace_flags": 0}[name] for name in missing}
    sent = [comparable(link | {"trace_flags": link["flags"] & TRACE_FLAGS_MASK}) for link in links]
    rows = [comparable(row | blank) for row in expected]
    different = [f"{a} is not {b}" for a, b in zip(sent, rows) if a != b]
    check(
        not different,
        f"{language}: the links are the rows, in their order"
        + (
            f" (but for {' and '.join(sorted(missing))}, which this SDK does not export)"
            if missing
            else ""
        ),
        *different[:5],
    )
    check(span["dropped_links_count"] == 0, f"{language}: no link is dropped")
    check(
        all(link["flags"] & ~TRACE_FLAGS_MASK == IS_REMOTE_FLAGS for link in links),
        f"{language}: every link is remote",
        *{hex(link["flags"]) for link in links},
    )


def main():
    language, *command = sys.argv[1:]
    database = f"interop_{os.getpid()}"
    with psycopg.connect(dbname="postgres", autocommit=True) as server:
        server.execute(f"CREATE DATABASE {database}")
        try:
            with psycopg.connect(
                dbname=database, autocommit=True, row_factory=psycopg.rows.dict_row
            ) as connection:
                connection.execute(SCHEMA)
                expected = connection.execute(EXPECTED).fetchall()
                span = run(language, command, database)
                if span:
                    compare(language, span, expected)
                done = connection.execute(
                    "SELECT count(*) FROM report_request WHERE state = 'done'"
                ).fetchone()
                check(done == {"count": 101}, f"{language}: all requests are done", done)
        finally:
            server.execute(f"DROP DATABASE {database} WITH (FORCE)")
    return end()


if __name__ == "__main__":
    sys.exit(main())
