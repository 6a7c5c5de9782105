"""JDBC under OpenTelemetry's agent as docs/stacks.md sets it up: runs Client.java, and compares its
rows with the spans that the agent exported.  Prints TAP lines.
"""

import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(sys.argv[1])))
from otlp_receiver import Receiver  # noqa: E402

from support import admin, is_  # noqa: E402

admin("CREATE TABLE jobs (id serial PRIMARY KEY, how text NOT NULL)")
admin("SELECT otel.add_trace_context('jobs')")
with Receiver() as receiver:
    status = subprocess.run(
        [
            "java",
            "-javaagent:agent/agent.jar",
            "-Dotel.instrumentation.jdbc.experimental.sqlcommenter.enabled=true",
            "-Dotel.metrics.exporter=none",
            "-Dotel.logs.exporter=none",
            "-Dotel.bsp.schedule.delay=100",
            f"-Dotel.exporter.otlp.endpoint={receiver.url}",
            "-Dotel.service.name=app",
            "-cp",
            "classes:lib/*",
            "Client",
        ],
        stdout=sys.stderr,
    ).returncode
    spans = receiver.spans
is_(status, 0, "the program ends well")
request = {span["name"]: span for span in spans if span["name"].startswith("request: ")}


def rows(how):
    return admin(
        "SELECT otel.trace_id(trace_context), otel.span_id(trace_context) "
        f"FROM jobs WHERE how = '{how}'"
    )


def each_is_the_request(how, count=1):
    span = request[f"request: {how}"]
    is_(
        rows(how),
        [(span["trace_id"], span["span_id"])] * count,
        f"{how}: each row has the request's span",
    )


for number in range(1, 9):
    each_is_the_request(f"a statement for each request, {number}")
each_is_the_request("a batch", 3)
each_is_the_request("a Statement")
each_is_the_request("generated keys")
each_is_the_request("eight executions in a transaction", 8)
found = rows("eight executions, each a transaction")
span = request["request: eight executions, each a transaction"]
is_(
    (len(found), set(found)),
    (8, {(span["trace_id"], span["span_id"]), (None, None)}),
    "eight executions, each a transaction: "
    "once pgjdbc gives the statement a name, its rows have none",
)
for number in range(1, 9):
    # a kept statement, a batch of it, and COPY
    each_is_the_request(f"InTransaction, {number}", 3)
is_(rows("after InTransaction"), [(None, None)], "COPY in the next transaction has none")
kept = {
    trace
    for number in range(1, 3)
    for trace, _ in rows(f"a statement kept over requests, {number}")
}
is_(
    kept,
    {request["request: a statement kept over requests, 1"]["trace_id"]},
    "a statement that is kept over requests has the first one's context, as the page says",
)
