"""pg_timetable: a task that runs within a span.  Prints TAP lines."""

import pathlib
import subprocess
import sys

from opentelemetry.propagate import inject

from queue_test import (
    client_traces,
    database_url,
    documented,
    is_,
    new_database,
    plain,
    received_spans,
    request,
)

ROOT = pathlib.Path(__file__).parents[4]
sys.path.insert(0, str(ROOT / "test/interop"))
from doc_blocks import blocks  # noqa: E402

BAD = """SELECT timetable.add_job('bad', '@reboot',
    $$CALL otel.trace_job('fails', 'SELECT 1/0')$$)"""
COMMAND = ["pg_timetable", "--clientname=test", "--log-level=error"]


def add_items():
    """The trace of a request that adds three items."""
    carrier = {}
    with request() as trace_id:
        inject(carrier)
        plain(
            "INSERT INTO items SELECT generate_series(1, 3)"
            f" /*traceparent='{carrier['traceparent']}'*/"
        )
    return trace_id


def add_job(statement, autonomous):
    """A chain of one task, which runs when the scheduler starts."""
    [[chain_id]] = plain(statement.replace("@every 5 minutes", "@reboot"))
    plain(
        "UPDATE timetable.task SET autonomous = %s, ignore_error = false WHERE chain_id = %s",
        autonomous,
        chain_id,
    )


def run(jobs):
    """Runs the scheduler until each of that many jobs has ended; their return codes, and spans."""
    before = len(received_spans())
    ended = (
        "SELECT chain_name, returncode = 0 FROM timetable.execution_log"
        " JOIN timetable.chain USING (chain_id) WHERE finished IS NOT NULL ORDER BY 1"
    )
    scheduler = subprocess.Popen([*COMMAND, f"--connstr={URL}"])
    try:
        for _ in range(300):
            if len(plain(ended)) == jobs:
                break
            try:
                scheduler.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                pass
    finally:
        scheduler.terminate()
        scheduler.wait()
    found = plain(ended)
    plain("TRUNCATE timetable.execution_log; DELETE FROM timetable.chain")
    spans = [
        (
            span["name"],
            span["status"]["code"],
            client_traces([f"00-{link['trace_id']}-{link['span_id']}" for link in span["links"]]),
        )
        for span in received_spans()[before:]
    ]
    return found, sorted(spans)


new_database()
URL = database_url()
subprocess.run([*COMMAND, f"--connstr={URL}", "--init"], check=True)
plain("CREATE TABLE items (id int)")
plain("SELECT otel.add_trace_context('items')")
plain(blocks(ROOT / "docs/queues.md")["pgagent/process.sql"])
for autonomous in (False, True):
    how = "autonomous" if autonomous else "in the chain's transaction"
    trace_id = add_items()
    add_job(documented("job.sql"), autonomous)
    add_job(BAD, autonomous)
    is_(
        run(2),
        (
            [("bad", False), ("items", True)],
            [("fails", "error", []), ("process items", "unset", [trace_id])],
        ),
        f"{how}: a span with links, and one with its error, which pg_timetable sees as well",
    )
    add_job(documented("job.sql"), autonomous)
    is_(run(1), ([("items", True)], []), f"{how}: a run that finds nothing makes no span")
