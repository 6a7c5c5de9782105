#!/usr/bin/env python3
"""Proves that an OpenTelemetry Collector takes what we export, and that nothing of it is changed or
lost.

    collect.py COLLECTOR

Starts the Collector with an OTLP receiver and a file exporter, makes a database on the server that
PGHOST and PGPORT name, records spans of every kind in it by SQL, flushes, and compares what the
Collector wrote with what was recorded: once for each protocol and compression.  Prints TAP.
"""

import contextlib
import http.client
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

from psycopg.types.json import Jsonb

TESTS = pathlib.Path(__file__).parents[2]
sys.path += [str(TESTS / "interop"), str(TESTS / "receiver")]
import otlp_decode  # noqa: E402
from checks import check, check_equal, configure, database, end  # noqa: E402

DATABASE = "otel_collector"
START_TIMEOUT = 30
FLUSH_TIMEOUT = 30

CONFIG = """
receivers:
  otlp:
    protocols:
      http:
        endpoint: 127.0.0.1:{port}
exporters:
  file:
    path: {spans}
    flush_interval: 20ms
service:
  telemetry:
    metrics:
      level: none
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [file]
"""

RESOURCE = {
    "service.name": "report-job",
    "deployment.environment.name": "test, Zoë's",
    "telemetry.sdk.name": "otel_links",
    "telemetry.sdk.language": "c",
    "db.namespace": DATABASE,
}

KINDS = ["internal", "server", "client", "producer", "consumer"]

# An attribute of each kind, and what OTLP makes of it.
ATTRIBUTES = {
    "string": 'Zoë & Søn 日本 😀 "quoted" \\ \t\n',
    "empty": "",
    "true": True,
    "false": False,
    "zero": 0,
    "largest": 2**63 - 1,
    "smallest": -(2**63),
    "fraction": 0.1,
    "exponent": 1.5e-7,
    "null": None,
    "strings": ["a", "", "c"],
    "numbers": [1, 2.5, -3],
    "nothing": [],
    "nested": {"a": {"b": [True, {"c": "d"}]}, "e": None},
    "no members": {},
}

# Context, attributes, and the flags that OTLP has for the link: W3C's, and that the context is
# remote.
LINKS = [
    ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", {"report.id": 1}, 0x301),
    ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-00", None, 0x300),
    (
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03;congo=t61rcWkgMzE,rojo=1",
        ATTRIBUTES,
        0x303,
    ),
]

class Collector:
    """Runs on a free port from entry to exit."""

    def __init__(self, program, folder):
        self._program = program
        self._folder = pathlib.Path(folder)
        self._spans = self._folder / "spans.json"

    def __enter__(self):
        # another process may take the port between our look and the start
        for _ in range(3):
            with socket.create_server(("127.0.0.1", 0)) as listener:
                self.port = listener.getsockname()[1]
            config = self._folder / "collector.yaml"
            config.write_text(CONFIG.format(port=self.port, spans=self._spans))
            with open(self._folder / "collector.log", "w") as log:
                self._process = subprocess.Popen(
                    [self._program, "--config", str(config)], stdout=log, stderr=log
                )
            if self._answers():
                return self
            self._end()
        raise SystemExit(
            "the Collector does not start:\n" + (self._folder / "collector.log").read_text()
        )

    def __exit__(self, *exc):
        self._end()

    def _answers(self):
        deadline = time.monotonic() + START_TIMEOUT
        while self._process.poll() is None and time.monotonic() < deadline:
            with (
                contextlib.suppress(OSError),
                contextlib.closing(
                    http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                ) as connection,
            ):
                connection.request("GET", "/")
                connection.getresponse()
                return True
            time.sleep(0.05)
        return False

    def _end(self):
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def spans(self, trace_id, expected):
        """The spans of a trace, by name, once so many are in the file or time is up."""
        deadline = time.monotonic() + FLUSH_TIMEOUT
        while True:
            found = []
            for line in self._spans.read_bytes().split(b"\n")[:-1]:
                found += otlp_decode.decode_request(line, otlp_decode.JSON)
            found = [span for span in found if span["trace_id"] == trace_id]
            if len(found) >= expected or time.monotonic() > deadline:
                check_equal(
                    sorted(span["name"] for span in found),
                    sorted({span["name"] for span in found}),
                    "no span comes twice",
                )
                return {span["name"]: span for span in found}
            time.sleep(0.02)


def value(connection, query, *args):
    return connection.execute(query, args).fetchone()[0]


def ids(context):
    """Version, trace id, span id, flags."""
    return context.split(";")[0].split("-")


def record(connection):
    """Records the spans of one trace; returns its id, and those of its spans by name."""
    recorded = {}

    def span(name, *args):
        context = value(
            connection,
            f"SELECT otel.record_span(%s, {', '.join(['%s'] * len(args))})::text",
            name,
            *args,
        )
        recorded[name] = ids(context)[2]
        return context

    remote = "00-" + os.urandom(16).hex() + "-" + os.urandom(8).hex() + "-03;vendor=value,other=1"
    start, end = "2024-02-29 12:34:56.789012+00", "2024-02-29 12:34:57.000001+00"
    for kind in KINDS:
        span(kind, start, end, None, kind, Jsonb({"kind": kind}), remote)
    span("ok", start, end, None, "internal", None, remote, False, "ok", "not for an ok")
    span("failed", start, end, None, "internal", None, remote, False, "error", "disk full: ü")
    span("attributes", start, end, None, "internal", Jsonb(ATTRIBUTES), remote)

    connection.execute(
        "CREATE TEMP TABLE IF NOT EXISTS item "
        "(id int, context otel.trace_context, attributes jsonb)"
    )
    connection.execute("TRUNCATE item")
    for i, (context, attributes, _) in enumerate(LINKS):
        connection.execute(
            "INSERT INTO item VALUES (%s, %s, %s)", (i, context, attributes and Jsonb(attributes))
        )
    with connection.transaction():
        batch = value(
            connection,
            "SELECT otel.start_span('batch', (SELECT otel.link_agg(context, attributes ORDER BY id)"
            " FROM item), parent => %s)::text",
            remote,
        )
        recorded["batch"] = ids(batch)[2]
        child = value(
            connection, "SELECT otel.start_span('child', ARRAY[otel.span_link(%s)])::text", batch
        )
        recorded["child"] = ids(child)[2]
        connection.execute("SELECT otel.add_event('claimed', %s, %s)", (Jsonb(ATTRIBUTES), start))
        connection.execute("SELECT otel.record_exception('22012', 'division by zero', 'line 1')")
        connection.execute("SELECT otel.end_span(), otel.end_span()")
    with connection.transaction():
        connection.execute("SET LOCAL otel.link_overflow = drop")
        for limit, number in (
            ("span_attribute", 1),
            ("link_attribute", 1),
            ("span_link", 2),
            ("span_event", 1),
        ):
            connection.execute(f"SET LOCAL otel.{limit}_count_limit = {number}")
        limited = value(
            connection,
            "SELECT otel.start_span('limited', "
            '(SELECT otel.link_agg(context, \'{"a": 1, "b": 2}\' ORDER BY id) FROM item), '
            'attributes => \'{"a": 1, "b": 2, "c": 3}\', parent => %s)::text',
            remote,
        )
        recorded["limited"] = ids(limited)[2]
        connection.execute("SELECT otel.add_event('first'), otel.add_event('second')")
        connection.execute("SELECT otel.end_span()")
    return remote, recorded


def check_spans(spans, remote, recorded):
    _, _, remote_span, _ = ids(remote)
    own_flags = 0x03
    check_equal(
        {name: span["span_id"] for name, span in spans.items()}, recorded, "every span arrives"
    )
    check_equal([spans[kind]["kind"] for kind in KINDS], KINDS, "kinds")
    check_equal(
        spans["internal"]["status"], {"code": "unset", "message": ""}, "a status left unset"
    )
    check_equal(spans["ok"]["status"], {"code": "ok", "message": ""}, "status ok has no message")
    check_equal(
        spans["failed"]["status"],
        {"code": "error", "message": "disk full: ü"},
        "status error and its message",
    )
    check_equal(
        [spans["ok"][f"{which}_time_unix_nano"] for which in ("start", "end")],
        [1709210096789012000, 1709210097000001000],
        "times, in nanoseconds",
    )
    check_equal(spans["attributes"]["attributes"], ATTRIBUTES, "attributes of every kind")
    check_equal(
        [
            type(spans["attributes"]["attributes"][key])
            for key in ("zero", "largest", "fraction", "true")
        ],
        [int, int, float, bool],
        "attributes keep their types",
    )

    check_equal(
        {span["trace_state"] for span in spans.values()},
        {"vendor=value,other=1"},
        "tracestate is inherited",
    )
    check_equal(
        [spans[name]["parent_span_id"] for name in ("internal", "batch", "child", "limited")],
        [remote_span, remote_span, recorded["batch"], remote_span],
        "parents",
    )
    check_equal(
        [spans[name]["flags"] for name in ("batch", "child")],
        [own_flags | 0x300, own_flags | 0x100],
        "flags tell a remote parent from a local one",
    )

    for i, (context, attributes, flags) in enumerate(LINKS):
        _, trace_id, span_id, _ = ids(context)
        expected = {
            "trace_id": trace_id,
            "span_id": span_id,
            "trace_state": context.partition(";")[2],
            "flags": flags,
            "attributes": attributes or {},
            "dropped_attributes_count": 0,
        }
        check_equal(
            spans["batch"]["links"][i : i + 1],
            [expected],
            f"link {i + 1}: ids, tracestate, flags, attributes",
        )
    check_equal(len(spans["batch"]["links"]), len(LINKS), "no other link")
    check_equal(
        [(link["span_id"], link["flags"]) for link in spans["child"]["links"]],
        [(recorded["batch"], own_flags | 0x100)],
        "a link to a span of the session itself is not remote",
    )

    events = spans["child"]["events"]
    check_equal([event["name"] for event in events], ["claimed", "exception"], "events, in order")
    check_equal(events[0]["time_unix_nano"], 1709210096789012000, "an event's time")
    check_equal(events[0]["attributes"], ATTRIBUTES, "an event's attributes")
    check_equal(
        events[1]["attributes"],
        {
            "exception.type": "division_by_zero",
            "exception.message": "division by zero",
            "exception.stacktrace": "line 1",
        },
        "an exception",
    )

    limited = spans["limited"]
    check_equal(
        [limited[f"dropped_{what}_count"] for what in ("attributes", "events", "links")],
        [2, 1, 1],
        "what limits drop is counted",
    )
    check_equal(
        [link["dropped_attributes_count"] for link in limited["links"]],
        [1, 1],
        "so are links' attributes",
    )


def check_origin(span, version):
    resource = span["resource"]["attributes"]
    check_equal({key: resource.get(key) for key in RESOURCE}, RESOURCE, "the resource")
    check(resource.get("service.instance.id"), "the resource names the instance", resource)
    check_equal(
        [span["scope"]["name"], span["scope"]["version"], resource.get("telemetry.sdk.version")],
        ["otel_links", version, version],
        "scope and version",
    )
    check(
        span["resource"]["schema_url"].startswith("https://opentelemetry.io/schemas/"),
        "the schema's URL",
        span["resource"]["schema_url"],
    )


def run(collector, connection):
    version = value(connection, "SELECT extversion FROM pg_extension WHERE extname = 'otel_links'")
    configure(
        connection,
        exporter_otlp_endpoint=f"http://127.0.0.1:{collector.port}",
        bsp_schedule_delay="100",
        service_name=RESOURCE["service.name"],
        resource_attributes="service.name=not this,"
        "deployment.environment.name=test%2C%20Zo%C3%AB's",
    )
    for protocol, compression in (
        ("http/protobuf", "none"),
        ("http/json", "none"),
        ("http/protobuf", "gzip"),
        ("http/json", "gzip"),
    ):
        print(f"# {protocol}, compression {compression}")
        configure(
            connection, exporter_otlp_protocol=protocol, exporter_otlp_compression=compression
        )
        remote, recorded = record(connection)
        value(connection, "SELECT otel.force_flush(%s)", FLUSH_TIMEOUT * 1000)
        status = connection.execute(
            "SELECT pending, failed, rejected, dropped, last_error FROM otel.export_status"
        ).fetchone()
        check_equal(status, (0, 0, 0, 0, None), "every span is taken, and none refused")
        spans = collector.spans(ids(remote)[1], len(recorded))
        if spans.keys() == recorded.keys():
            check_spans(spans, remote, recorded)
            check_origin(spans["batch"], version)
        else:
            check_equal(spans.keys(), recorded.keys(), "every span arrives")


def main():
    with (
        tempfile.TemporaryDirectory() as folder,
        Collector(sys.argv[1], folder) as collector,
        database(DATABASE) as connection,
    ):
        run(collector, connection)
    return end()


sys.exit(main())
