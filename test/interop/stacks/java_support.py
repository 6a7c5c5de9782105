"""What the stacks in Java share: a program under OpenTelemetry's agent, whose rows are compared
with the spans that it exported to a receiver.

The first argument is the receiver's folder.
"""

import subprocess
import sys

from support import STACK, admin, is_

sys.path.insert(0, sys.argv[1])
from otlp_receiver import Receiver  # noqa: E402


class Program:
    """Runs a class to its end, with the agent or with OpenTelemetry's Spring Boot starter."""

    def __init__(self, main, *arguments, comments=True, starter=False):
        with Receiver() as receiver:
            command = [
                "java",
                *([] if starter else ["-javaagent:../java/agent/agent.jar"]),
                "-Dotel.instrumentation.jdbc.experimental.sqlcommenter.enabled="
                + ("true" if comments else "false"),
                "-Dotel.metrics.exporter=none",
                "-Dotel.logs.exporter=none",
                "-Dotel.bsp.schedule.delay=100",
                f"-Dotel.exporter.otlp.endpoint={receiver.url}",
                "-Dotel.service.name=app",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                f"classes:../java/{'starter' if starter else 'lib'}/*",
                main,
                *arguments,
            ]
            status = subprocess.run(command).returncode
            self.spans = {(span["trace_id"], span["span_id"]): span for span in receiver.spans}
        is_(status, 0, f"{' '.join((main, *arguments))} ends well")
        self.requests = {
            span["name"].removeprefix("request: "): span
            for span in self.spans.values()
            if span["name"].startswith("request: ")
        }

    def rows(self, name):
        """The contexts of a request's rows, as trace id, span id and flags."""
        return admin(
            "SELECT otel.trace_id(c), otel.span_id(c), otel.trace_flags(c) "
            "FROM (SELECT otel.extract(trace_context::text) AS c "
            f"FROM jobs WHERE payload = '{name}') AS rows"
        )

    def traced(self, name, count=1):
        """Each row has the context of a span of the request's trace, which the agent exported."""
        span = self.requests.get(name, {"trace_id": "no such request"})
        contexts = self.rows(name)
        right = [
            context
            for context in contexts
            if context[0] == span["trace_id"] and context[:2] in self.spans
        ]
        is_(
            (len(contexts), len(right)),
            (count, count),
            f"{name}: {'each row' if count > 1 else 'the row'} has a span of the request's",
        )

    def untraced(self, name, count=1, why=""):
        """The rows are there, and NULL."""
        is_(self.rows(name), [(None, None, None)] * count, f"{name}: no context{why}")


__all__ = ["STACK", "Program", "admin", "is_"]
