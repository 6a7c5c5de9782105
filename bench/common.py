"""What the benchmarks in Python share: the server's settings, a late collector, and pgbench."""

import contextlib
import math
import pathlib
import subprocess
import sys
import tempfile
import time

from psycopg import sql

HERE = pathlib.Path(__file__).parent


def value(connection, query, *arguments):
    return connection.execute(query, arguments or None).fetchone()[0]


def set_system(connection, **settings):
    """Changes settings otel.* of the server; returns when the connection's session has them."""
    for name, setting in settings.items():
        connection.execute(
            sql.SQL("ALTER SYSTEM SET {} = {}").format(
                sql.Identifier("otel", name), sql.Literal(setting)
            )
        )
    loaded = value(connection, "SELECT pg_conf_load_time()")
    connection.execute("SELECT pg_reload_conf()")
    while value(connection, "SELECT pg_conf_load_time()") == loaded:
        time.sleep(0.001)


@contextlib.contextmanager
def slow_collector(delay_ms):
    """Runs a collector that answers after delay_ms; gives its base URL."""
    with subprocess.Popen(
        [sys.executable, HERE / "slow_collector.py", str(delay_ms)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


def pgbench(script, seconds):
    """Transactions a second of four sessions that run a script."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        out = subprocess.run(
            ["pgbench", "-n", "-c", "4", "-j", "1", "-T", str(math.ceil(seconds)), "-f", file.name],
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ).stdout
    return float(next(line for line in out.splitlines() if line.startswith("tps")).split()[2])
