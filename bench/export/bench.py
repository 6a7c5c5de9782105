#!/usr/bin/env python3
"""Measures the export from the queue to a receiver; bench/export/run says how to call it.

The receiver is nginx: it answers 200 and logs how many bytes came and when.  Time is from the first
request's arrival to the last one's answer; CPU is the exporter's own, from /proc.  libcurl alone
then posts as many bodies of the same size.  The SDKs of Node.js and Python make their spans in the
same process, so their CPU includes that; what it costs here, in the session that records, has a
line of its own.

To show what a distant receiver costs, the exporter and Node.js's SDK in turn send to one that
answers after 0, 5, 20 and 50 ms.  The SDK sends eight batches of 512 at once.  Here, time is that
of force_flush(), from a full queue to an empty one.
"""

import contextlib
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import psycopg

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from common import pgbench, set_system, slow_collector, value  # noqa: E402

BATCH = 512
ROUNDS = 5
TICK = os.sysconf("SC_CLK_TCK")
DELAYS_MS = (0, 5, 20, 50)

# How many spans, with this many links each, take about one second.
SHAPES = {3: 150_000, 128: 12_000}

NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    log_format sizes '$msec $request_time $content_length';
    access_log {folder}/access.log sizes;
    client_body_temp_path {folder};
    proxy_temp_path {folder};
    fastcgi_temp_path {folder};
    uwsgi_temp_path {folder};
    scgi_temp_path {folder};
    client_max_body_size 0;
    keepalive_requests 1000000000;
    lingering_time 600s;
    lingering_timeout 60s;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            default_type application/x-protobuf;
            return 200 '';
        }}
    }}
}}
"""

RECORD = """
SELECT count(otel.record_span('make_reports', now(), NULL, links, 'consumer',
                              jsonb_build_object('report.count', {links},
                                                 'job.name', 'make_reports'), NULL, true))
  FROM generate_series(1, {spans}),
       (SELECT otel.link_agg(
                   otel.from_ids('0af7651916cd43dd8448eb211c80' || lpad(to_hex(i), 4, '0'),
                                 'b7ad6b716920' || lpad(to_hex(i), 4, '0'), 1, NULL),
                   jsonb_build_object('report.id', i, 'report.customer', 'customer ' || i)) AS links
          FROM generate_series(1, {links}) AS i) AS l
"""


class Nginx:
    def __init__(self, folder):
        self._folder = pathlib.Path(folder)
        self._log = self._folder / "access.log"

    def __enter__(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        config = self._folder / "nginx.conf"
        config.write_text(NGINX.format(folder=self._folder, port=port))
        self.url = f"http://127.0.0.1:{port}/v1/traces"
        self._process = subprocess.Popen(
            [
                "nginx",
                "-p",
                str(self._folder),
                "-e",
                str(self._folder / "error.log"),
                "-c",
                str(config),
            ],
            env=os.environ | {"PATH": os.environ["PATH"] + ":/usr/sbin"},
        )
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                return self
            if self._process.poll() is not None:
                raise SystemExit((self._folder / "error.log").read_text())
            time.sleep(0.01)

    def __exit__(self, *exc):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()

    def requests(self):
        """(time of arrival, time of the answer, bytes) of each request since the last call."""
        lines = self._log.read_text().splitlines()
        os.truncate(self._log, 0)
        parsed = [line.split() for line in lines if not line.endswith("-")]
        return [(float(done) - float(took), float(done), int(size)) for done, took, size in parsed]


class Process:
    """What /proc says about a process."""

    def __init__(self, pid):
        self._proc = pathlib.Path(f"/proc/{pid}")
        self.peak_private = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self):
        self._cpu = self.cpu_used()
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self.cpu_seconds = self.cpu_used() - self._cpu
        self._stop.set()
        self._thread.join()

    def cpu_used(self):
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def status(self, field):
        """A field of /proc/PID/status in MiB."""
        for line in (self._proc / "status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
        raise KeyError(field)

    def _watch(self):
        while not self._stop.wait(0.01):
            self.peak_private = max(self.peak_private, self.status("RssAnon"))


def record(connection, links, spans):
    """Puts spans into the queue; returns the session's CPU seconds."""
    connection.execute("VACUUM otel.span_queue")
    session = Process(value(connection, "SELECT pg_backend_pid()"))
    before = session.cpu_used()
    connection.execute(RECORD.format(links=links, spans=spans))
    return session.cpu_used() - before


def check_all_exported(connection):
    """Otherwise the numbers are for fewer spans, or for some that were sent twice."""
    left = connection.execute(
        "SELECT pending, failed, dropped, last_error FROM otel.export_status"
    ).fetchone()
    if any(left):
        raise SystemExit("pending, failed, dropped, last error: {}, {}, {}, {}".format(*left))


def export(connection, nginx, links, spans):
    """Exports this many spans, which are all in the queue at first."""
    set_system(connection, exporter_otlp_traces_endpoint=nginx.url, traces_exporter="otlp")
    connection.execute(RECORD.format(links=links, spans=1))
    connection.execute("SELECT otel.force_flush()")
    set_system(connection, traces_exporter="none")
    making = record(connection, links, spans)
    nginx.requests()
    with Process(value(connection, "SELECT exporter_pid FROM otel.export_status")) as exporter:
        set_system(connection, traces_exporter="otlp")
        connection.execute("SELECT otel.force_flush(600000)")
    check_all_exported(connection)
    requests = nginx.requests()
    seconds = max(done for _, done, _ in requests) - min(came for came, _, _ in requests)
    return {
        "spans": spans,
        "seconds": seconds,
        "cpu_seconds": exporter.cpu_seconds,
        "making": making,
        "requests": len(requests),
        "bytes": sum(size for _, _, size in requests),
        "peak": exporter.status("VmHWM"),
        "shared": exporter.status("RssShmem"),
        "private": exporter.peak_private,
    }


def backlog(connection, nginx, spans):
    """How fast a backlog's first and last tenth leave while an old snapshot keeps deleted rows."""
    set_system(connection, exporter_otlp_traces_endpoint=nginx.url, traces_exporter="none")
    record(connection, 3, spans)
    nginx.requests()
    with psycopg.connect() as old:
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT count(*) FROM otel.exporter_state")
        set_system(connection, traces_exporter="otlp")
        connection.execute("SELECT otel.force_flush(3600000)")
        check_all_exported(connection)
        with Process(value(connection, "SELECT exporter_pid FROM otel.export_status")) as exporter:
            pass
    times = sorted(done for _, done, _ in nginx.requests())
    tenth = len(times) // 10
    first, last = times[tenth] - times[0], times[-1] - times[-1 - tenth]
    peak = exporter.status("VmHWM") - exporter.status("RssShmem")
    print(
        f"\n{spans:,} spans of 3 links waiting, an old snapshot held elsewhere: the first tenth "
        f"leaves at {tenth * BATCH / first:,.0f} spans/s, the last at {tenth * BATCH / last:,.0f}; "
        f"peak memory less shared memory {peak:.1f} MiB"
    )


def load(connection, nginx, seconds):
    """What a working exporter costs the sessions that record: with and without it in turn."""
    script = RECORD.format(links=3, spans=1).replace("\n", " ") + ";\n"
    rates = {"none": [], "otlp": []}
    set_system(connection, exporter_otlp_traces_endpoint=nginx.url, bsp_schedule_delay="5000")
    for _ in range(ROUNDS):
        for exporter in rates:
            set_system(connection, traces_exporter=exporter)
            connection.execute("SELECT otel.force_flush(600000)")
            connection.execute("VACUUM otel.span_queue")
            rates[exporter].append(pgbench(script, seconds))
    connection.execute("SELECT otel.force_flush(600000)")
    check_all_exported(connection)
    ratios = sorted(on / off for off, on in zip(rates["none"], rates["otlp"]))
    off, on = (statistics.median(rates[exporter]) for exporter in ("none", "otlp"))
    print(
        f"\nfour sessions for {seconds} s, a span with 3 links in each transaction: "
        f"{off:,.0f} transactions/s, {on:,.0f} while the exporter works: "
        f"{statistics.median(ratios):.2f} times ({ratios[0]:.2f} to {ratios[-1]:.2f} in "
        f"{ROUNDS} rounds); nothing lost"
    )


def run(*command):
    return json.loads(
        subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE).stdout
    )


def line(name, result):
    spans, cpu = result["spans"], result["cpu_seconds"]
    print(
        f"{name:34} {spans / result['seconds']:10,.0f} {1000 * cpu / (spans / 1000):12.2f} "
        f"{spans / cpu:14,.0f}"
    )


def measure(connection, nginx, work, links, seconds):
    ours = export(connection, nginx, links, int(SHAPES[links] * seconds) // BATCH * BATCH)
    size = ours["bytes"] // ours["requests"]
    limit = run(work / "post", nginx.url, size, ours["requests"])
    print(
        f"\n{links} links a span, two attributes a link: "
        f"{ours['bytes'] / ours['spans']:,.0f} bytes a span, "
        f"{ours['requests']} requests of {size:,} bytes\n"
    )
    print(f"{'':34} {'spans/s':>10} {'CPU ms/1,000':>12} {'spans/s a core':>14}")
    line("libcurl, ready-made bodies", limit | {"spans": ours["spans"]})
    line("otel_links exporter", ours)
    line(
        "otel_links, recording in SQL",
        {"spans": ours["spans"], "seconds": ours["making"], "cpu_seconds": ours["making"]},
    )
    line(
        "Node.js SDK, making and exporting",
        run("node", work / "node/sdk.js", nginx.url, links, seconds),
    )
    line(
        "Python SDK, making and exporting",
        run(work / "python/bin/python3", HERE / "sdk.py", nginx.url, links, seconds),
    )
    print(
        f"\nexporter's peak memory: {ours['peak']:.1f} MiB (VmHWM), of which "
        f"{ours['shared']:.1f} are PostgreSQL's shared memory; "
        f"private at most {ours['private']:.1f}"
    )


def drain(connection, url, links, spans):
    """Spans a second from the queue to a receiver that answers late; the exporter's memory."""
    set_system(connection, exporter_otlp_traces_endpoint=url, traces_exporter="otlp")
    connection.execute(RECORD.format(links=links, spans=1))
    connection.execute("SELECT otel.force_flush()")
    connection.execute("UPDATE otel.exporter_state SET last_error = NULL")  # of the last receiver
    set_system(connection, traces_exporter="none")
    record(connection, links, spans)
    with Process(value(connection, "SELECT exporter_pid FROM otel.export_status")) as exporter:
        start = time.monotonic()
        set_system(connection, traces_exporter="otlp")
        connection.execute("SELECT otel.force_flush(600000)")
        seconds = time.monotonic() - start
    check_all_exported(connection)
    return spans / seconds, exporter.peak_private


def distance(connection, work, links, seconds):
    """The exporter and Node.js's SDK in turn, with receivers that answer late."""
    private = 0
    title = f"{links} links a span, spans/s"
    print(f"\n{title:34}" + "".join(f"{delay:>9} ms" for delay in DELAYS_MS))
    rates = {"otel_links exporter": [], "Node.js SDK": []}
    for delay in DELAYS_MS:
        ours, theirs = [], []
        for _ in range(3):
            with slow_collector(delay) as base:
                url = base + "/v1/traces"
                rate, memory = drain(connection, url, links, int(SHAPES[links] * seconds))
                ours.append(rate)
                private = max(private, memory)
                node = run("node", work / "node/sdk.js", url, links, seconds)
                theirs.append(node["spans"] / node["seconds"])
        for name, measured in zip(rates, (ours, theirs)):
            rates[name].append(statistics.median(measured))
    for name, line_of in rates.items():
        print(f"{name:34}" + "".join(f"{rate:12,.0f}" for rate in line_of))
    print(f"exporter's private memory: at most {private:.1f} MiB")


def main():
    work, seconds, load_seconds = pathlib.Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    with (
        tempfile.TemporaryDirectory() as folder,
        Nginx(folder) as nginx,
        psycopg.connect(autocommit=True) as connection,
    ):
        connection.execute("DROP EXTENSION IF EXISTS otel_links")
        connection.execute("CREATE EXTENSION otel_links")
        set_system(
            connection,
            exporter_idle_timeout="3600000",
            bsp_schedule_delay="10",
            queue_max_size="100GB",
        )
        for links in SHAPES:
            distance(connection, work, links, seconds)
        if load_seconds == 0:
            return
        for links in SHAPES:
            measure(connection, nginx, work, links, seconds)
        backlog(connection, nginx, int(350_000 * seconds))
        load(connection, nginx, load_seconds)
        set_system(connection, traces_exporter="none")


main()
