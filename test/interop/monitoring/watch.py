#!/usr/bin/env python3
"""Proves that contrib/monitoring sends the numbers that SQL has, and alerts when it should.

    watch.py COLLECTOR

Makes a database on the server that PGHOST and PGPORT name whose export has every number above
zero: spans exported, rejected, failed, dropped, left out by the sampler, and waiting.  Then
compares what prometheus-postgres-exporter and a Collector with the receiver sqlquery make of it
with otel.export_metrics and otel.export_status, and runs the rules through promtool.  Prints TAP.
"""

import contextlib
import decimal
import http.client
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

import psycopg

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
CONTRIB = ROOT / "contrib" / "monitoring"
sys.path += [str(ROOT / "test" / "interop"), str(ROOT / "test" / "receiver")]
import otlp_receiver  # noqa: E402
from checks import check, check_equal, configure, database, end  # noqa: E402

DATABASE = "otel_monitoring"
ROLE = "otel_watcher"
TIMEOUT = 60

# What watches has to send it all, under these names.
NUMBERS = {
    "pending",
    "pending_bytes",
    "max_bytes",
    "queue_bytes",
    "oldest_age",
    "failed",
    "failed_bytes",
    "exported",
    "rejected",
    "dropped",
    "not_sampled",
    "start_failures",
    "last_success",
    "last_error_at",
    "exporter_running",
    "waits_for_slot",
}
COUNTERS = {"exported", "rejected", "dropped", "not_sampled", "start_failures"}

# As the row has them, but times in seconds; the age grows between two looks.
EXPECTED = """
    SELECT pending, pending_bytes, max_bytes, queue_bytes,
           extract(epoch FROM oldest_age)::float8 AS oldest_age, failed, failed_bytes, exported,
           rejected, dropped, not_sampled, start_failures,
           extract(epoch FROM last_success)::float8 AS last_success,
           extract(epoch FROM last_error_at)::float8 AS last_error_at,
           exporter_running::int AS exporter_running, waits_for_slot::int AS waits_for_slot
      FROM otel.export_metrics"""

CONFIG = """
exporters:
  file:
    path: {metrics}
    flush_interval: 20ms
service:
  telemetry:
    metrics:
      level: none
  pipelines:
    metrics:
      receivers: [sqlquery]
      exporters: [file]
"""

def wait_for(condition, what):
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(0.05)
    sys.exit(f"not within {TIMEOUT} s: {what}")


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@contextlib.contextmanager
def program(log, command, **environment):
    """A program that runs meanwhile."""
    with open(log, "w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=os.environ | environment
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


# ---- a database with something to tell ----


@contextlib.contextmanager
def role():
    """Who watches: a member of pg_monitor."""
    with psycopg.connect(autocommit=True) as server:
        server.execute(f"DROP ROLE IF EXISTS {ROLE}")
        server.execute(f"CREATE ROLE {ROLE} LOGIN")
        server.execute(f"GRANT pg_monitor TO {ROLE}")
        try:
            yield
        finally:
            server.execute(f"DROP ROLE {ROLE}")


def record(number, **settings):
    """So many spans, in a transaction of a session with settings."""
    with psycopg.connect(dbname=DATABASE) as session:
        for name, value in settings.items():
            session.execute("SELECT set_config(%s, %s, false)", ("otel." + name, value))
        session.execute(
            "SELECT otel.record_span('watched', now()) FROM generate_series(1, %s)", (number,)
        )


def flush(connection):
    connection.execute("SELECT otel.force_flush(%s)", (TIMEOUT * 1000,))


def tell(connection, receiver):
    """Spans of every fate; each number is another."""
    answers = receiver.answers
    configure(
        connection, exporter_otlp_endpoint=f"http://127.0.0.1:{receiver.port}",
        bsp_schedule_delay="50",
    )
    record(40)
    flush(connection)
    answers.write_text('{"partial_success": {"rejected_spans": 3, "error_message": "too old"}}\n')
    record(10)
    flush(connection)
    answers.write_text('{"status": 404}\n')
    record(5)
    wait_for(
        lambda: value(connection, "SELECT failed = 5 FROM otel.export_status"), "spans set aside"
    )
    record(7, traces_sampler="always_off")
    connection.execute("SELECT setval('otel.dropped_spans', 11)")
    connection.execute("SELECT setval('otel.exporter_start_failures', 2)")
    configure(connection, traces_exporter="none")
    wait_for(
        lambda: value(
            connection,
            "SELECT pg_terminate_backend(exporter_pid, 60000) IS NULL OR NOT exporter_running "
            "FROM otel.export_status",
        ),
        "no exporter runs",
    )
    record(9, traces_exporter="none")


def value(connection, query):
    return connection.execute(query).fetchone()[0]


def expected(connection):
    cursor = connection.execute(EXPECTED)
    names = [column.name for column in cursor.description]
    return dict(zip(names, cursor.fetchone()))


def check_numbers(got, before, after, who):
    """Whoever watches has what SQL had before and has after."""
    check_equal(set(got), NUMBERS, f"{who} sends every number and no other")
    for name in sorted(NUMBERS & set(got)):
        low, high = before[name], after[name]
        slack = 0.001 if isinstance(low, float) else 0
        check(
            low - slack <= got[name] <= high + slack,
            f"{who}: {name} is what SQL has, {low}",
            f"got {got[name]}, SQL has {low} before and {high} after",
        )


# ---- postgres_exporter ----


def scrape(port):
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    return ""



def column(metric):
    """The column of the view that a metric of postgres_exporter.yaml is made of."""
    name = re.sub(r"(_timestamp)?_(total|seconds)$", "", metric.removeprefix("otel_links_"))
    return "last_error_at" if name == "last_error" else name


def check_postgres_exporter(connection, folder):
    port = free_port()
    source = (
        f"user={ROLE} dbname={DATABASE} host={os.environ['PGHOST']} "
        f"port={os.environ['PGPORT']} sslmode=disable"
    )
    with program(
        folder / "postgres_exporter.log",
        [
            "prometheus-postgres-exporter",
            f"--web.listen-address=127.0.0.1:{port}",
            "--disable-default-metrics",
            "--disable-settings-metrics",
            f"--extend.query-path={CONTRIB / 'postgres_exporter.yaml'}",
        ],
        DATA_SOURCE_NAME=source,
    ):
        wait_for(lambda: scrape(port), "postgres_exporter answers")
        before = expected(connection)
        text = scrape(port)
        after = expected(connection)
    samples = re.findall(r"^(otel_links_\w+)\{([^}]*)\} (\S+)$", text, re.MULTILINE)
    check_numbers(
        {column(name): float(number) for name, _, number in samples},
        before,
        after,
        "postgres_exporter",
    )
    check(
        samples and all(f'datname="{DATABASE}"' in labels for _, labels, _ in samples),
        "postgres_exporter: each number names its database",
        samples,
    )
    types = dict(re.findall(r"^# TYPE (otel_links_\w+) (\w+)$", text, re.MULTILINE))
    check_equal(
        {column(name) for name, kind in types.items() if kind == "counter"},
        COUNTERS,
        "postgres_exporter: what only grows is a counter",
    )
    check(
        re.search(r"^pg_exporter_last_scrape_error 0$", text, re.MULTILINE),
        "postgres_exporter scrapes without an error",
        (folder / "postgres_exporter.log").read_text(),
    )
    return set(types)


# ---- the Collector ----


def collected(path):
    """The metrics of the last scrape, by name."""
    lines = path.read_text().splitlines() if path.exists() else []
    for line in reversed(lines):
        with contextlib.suppress(ValueError):
            return {
                metric["name"]: metric
                for resource in json.loads(line)["resourceMetrics"]
                for scope in resource["scopeMetrics"]
                for metric in scope["metrics"]
            }
    return {}


def check_collector(collector, connection, folder):
    config = folder / "config.yaml"
    metrics = folder / "metrics.json"
    config.write_text(CONFIG.format(metrics=metrics))
    before = expected(connection)
    source = (
        f"postgresql://{ROLE}@/{DATABASE}?host={os.environ['PGHOST']}"
        f"&port={os.environ['PGPORT']}&sslmode=disable"
    )
    with program(
        folder / "collector.log",
        [collector, f"--config={config}", f"--config={CONTRIB / 'collector.yaml'}"],
        DATABASE_URL=source,
    ) as process:
        wait_for(
            lambda: collected(metrics) or process.poll() is not None, "the Collector has metrics"
        )
    after = expected(connection)
    found = collected(metrics)
    check(found, "the Collector reads the view", (folder / "collector.log").read_text()[-2000:])

    got = {}
    for name, metric in found.items():
        kind = "sum" if "sum" in metric else "gauge"
        (point,) = metric[kind]["dataPoints"]
        got[name.removeprefix("otel_links.")] = float(
            decimal.Decimal(point.get("asInt", point.get("asDouble")))
        )
        attributes = {a["key"]: a["value"]["stringValue"] for a in point.get("attributes", [])}
        if attributes != {"db.namespace": DATABASE} or not metric.get("description"):
            check(False, f"the Collector: {name} names its database and is described", metric)
    check_numbers(got, before, after, "the Collector")
    check_equal(
        {
            name.removeprefix("otel_links.")
            for name, metric in found.items()
            if metric.get("sum", {}).get("isMonotonic")
            and metric["sum"]["aggregationTemporality"] == 2
        },
        COUNTERS,
        "the Collector: what only grows is a monotonic, cumulative sum",
    )


# ---- the alerts ----


def promtool(*arguments):
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def check_alerts(folder, metrics):
    rules = CONTRIB / "alerts.yaml"
    text = rules.read_text()
    alerts = re.findall(r"alert: (\w+)", text)
    status, output = promtool("check", "rules", str(rules))
    check(status == 0, "promtool takes the rules", output)
    check_equal(
        set(re.findall(r"otel_links_\w+", re.sub(r"name: \w+", "", text))) - metrics,
        set(),
        "the rules name no metric that postgres_exporter has not sent",
    )

    tests = (HERE / "alerts_test.yaml").read_text()
    (folder / "alerts.yaml").write_text(text)
    (folder / "alerts_test.yaml").write_text(tests)
    status, output = promtool("test", "rules", str(folder / "alerts_test.yaml"))
    check(status == 0, "each alert fires when it should, and none in good health", output)

    # A rule that cannot fire, or always fires, is noticed by its test
    for comparison in ("vector(0) > 1", "vector(1)"):
        broken, number = re.subn(
            r"(alert: \w+\n +expr:) (>-\n(?: {10}.*\n)+|.*\n)", rf"\1 {comparison}\n", text
        )
        (folder / "alerts.yaml").write_text(broken)
        _, output = promtool("test", "rules", str(folder / "alerts_test.yaml"))
        check_equal(
            (number, set(re.findall(r"alertname: (\w+), time", output))),
            (len(alerts), set(alerts)),
            f"each alert has a test that fails where the rule is {comparison}",
        )


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        answers = folder / "answers"
        with (
            otlp_receiver.Receiver(answers=answers) as receiver,
            role(),
            database(DATABASE) as connection,
        ):
            receiver.answers = answers
            tell(connection, receiver)
            numbers = expected(connection)
            check_equal(
                {name for name in NUMBERS if not numbers[name]},
                {"exporter_running"},
                "there is something of everything to tell",
            )
            check_equal(
                [numbers[n] for n in ("exported", "rejected", "failed", "not_sampled", "pending")],
                [47, 3, 5, 7, 9],
                "as many as were recorded",
            )
            metrics = check_postgres_exporter(connection, folder)
            check_collector(sys.argv[1], connection, folder)
        check_alerts(folder, metrics)
    return end()


if __name__ == "__main__":
    sys.exit(main())
