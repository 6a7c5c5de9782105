"""Runs a queue's test under OpenTelemetry's agent, and compares what it prints of its rows and of
its batch span with the spans that arrived at a receiver.  Prints TAP lines.

    java_test.py QUEUE RECEIVER'S-FOLDER
"""

import os
import pathlib
import subprocess
import sys

import psycopg

sys.path.insert(0, sys.argv[2])
from otlp_receiver import Receiver  # noqa: E402

QUEUE = sys.argv[1]
DATABASE = "queue_" + QUEUE.replace("-", "_")
CLASS = "".join(part.capitalize() for part in QUEUE.split("-"))
COMMENTS = "false" if QUEUE == "debezium" else "true"


def ok(passed, name, *diagnostics):
    print(("ok" if passed else "not ok") + f" - {name}", flush=True)
    if not passed:
        for line in diagnostics:
            print("#", line, flush=True)


def new_database(endpoint):
    with psycopg.connect(dbname="postgres", autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        server.execute(f"CREATE DATABASE {DATABASE}")
        server.execute("LOAD 'otel_links'")
        server.execute(f"ALTER DATABASE {DATABASE} SET otel.exporter_otlp_endpoint = '{endpoint}'")
    with psycopg.connect(dbname=DATABASE, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION otel_links")


def run(endpoint):
    """Runs the program; gives its exit status and the lines that are not TAP yet."""
    command = [
        "java",
        "-javaagent:agent.jar",
        # Debezium has a statement that ends in a semicolon, behind which pgjdbc takes a comment for
        # another statement
        f"-Dotel.instrumentation.jdbc.experimental.sqlcommenter.enabled={COMMENTS}",
        "-Dotel.metrics.exporter=none",
        "-Dotel.logs.exporter=none",
        "-Dotel.bsp.schedule.delay=100",
        f"-Dotel.exporter.otlp.endpoint={endpoint}",
        "-Dotel.service.name=app",
        "-XX:TieredStopAtLevel=1",
        "-cp",
        "classes:lib/*",
        CLASS,
    ]
    environment = os.environ | {"QUEUE": QUEUE, "PGDATABASE": DATABASE}
    found = []
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, encoding="utf-8"
    ) as program:
        for line in program.stdout:
            line = line.rstrip("\n")
            if line.startswith(("row\t", "batch\t")):
                found.append(line.split("\t"))
            else:
                print(line, flush=True)
    return program.returncode, found


def compare(found, spans):
    named = {f"00-{span['trace_id']}-{span['span_id']}": span for span in spans}
    exported = {
        name: span
        for name, span in named.items()
        if span["resource"]["attributes"]["service.name"] == "app"
    }
    for kind, traces, context, name in found:
        if kind == "row":
            span = exported.get(context[:52], {"trace_id": "no such span"})
            ok(span["trace_id"] == traces, name, f"{context} in trace {traces}: {span}")
            continue
        batch = named.get(context[:52], {"links": []})
        links = [f"00-{link['trace_id']}-{link['span_id']}" for link in batch["links"]]
        ok(
            {link[3:35] for link in links} == set(traces.split(",")),
            name,
            f"links: {links}",
            f"requests: {traces}",
        )
        ok(
            links and all(link in exported for link in links),
            f"{name}: each link is a span of the application",
            *(link for link in links if link not in exported),
        )


with Receiver() as receiver:
    new_database(receiver.url)
    status, found = run(receiver.url)
    compare(found, receiver.spans)
ok(status == 0, f"{QUEUE}: the program ends well", f"exit status {status}")
ok(any(kind == "batch" for kind, *_ in found), f"{QUEUE}: a batch span was made")
