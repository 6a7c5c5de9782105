"""pgAgent: a step that runs within a span.  Prints TAP lines."""

import os
import subprocess

from queue_test import documented, is_, new_database, plain, received_spans

new_database()
plain("CREATE EXTENSION pgagent; CREATE TABLE items (id int)")
plain("SELECT otel.add_trace_context('items')")
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
plain(f"INSERT INTO items SELECT generate_series(1, 3) /*traceparent='{PARENT}'*/")
plain(documented("process.sql"))


def add_job(name, code):
    job = plain(
        "INSERT INTO pgagent.pga_job (jobjclid, jobname, jobenabled, jobnextrun)"
        " VALUES (1, %s, true, now()) RETURNING jobid",
        name,
    )[0][0]
    plain(
        "INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstdbname)"
        " VALUES (%s, 'step', 's', %s, current_database())",
        job,
        code,
    )


def statuses():
    return dict(
        plain(
            "SELECT jobname, jlgstatus FROM pgagent.pga_joblog JOIN pgagent.pga_job"
            " ON jobid = jlgjobid WHERE jlgstatus <> 'r'"
        )
    )


add_job("good", documented("step.sql"))
add_job("bad", "CALL otel.trace_job('fails', 'SELECT 1/0')")
# pgagent takes the first argument without a dash as its connection string
agent = subprocess.Popen(
    [
        "pgagent",
        "-f",
        "-t",
        "1",
        f"host=127.0.0.1 port={os.environ['PGPORT']} user={os.environ['PGUSER']}"
        f" dbname={os.environ['PGDATABASE']}",
    ],
    stdout=subprocess.DEVNULL,
)
try:
    for _ in range(300):
        if len(statuses()) == 2:
            break
        try:
            agent.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            pass
    is_(statuses(), {"good": "s", "bad": "f"}, "one job succeeds, the other fails")
finally:
    agent.terminate()
    agent.wait()

is_(
    sorted(
        (
            span["name"],
            span["status"]["code"],
            span["parent_span_id"],
            [link["trace_id"] for link in span["links"]],
        )
        for span in received_spans()
    ),
    [("fails", "error", "", []), ("process items", "unset", "", [PARENT[3:35]])],
    "each has its span, with the links of what it claimed and with the error",
)
