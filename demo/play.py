#!/usr/bin/env python3
"""Plays the scenario on the cluster that the environment names, shows the result, and proves it.

play.py [SPANS_FILE [PAGE]]     the receiver's file of spans, and the page to write from them; none
                                of them if the spans go to another collector
"""

import json
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "test" / "receiver"))

import psycopg  # noqa: E402

import client  # noqa: E402
import page  # noqa: E402
import prove  # noqa: E402
import render  # noqa: E402


def main():
    began = time.monotonic()
    file = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None

    def say(text):
        print(f"[{time.monotonic() - began:5.2f} s] {text}", flush=True)

    with psycopg.connect(autocommit=True) as owner:
        for script in ("schema.sql", "generate_daily_reports.sql"):
            owner.execute((HERE / script).read_text())

        endpoint = (
            owner.execute("SELECT current_setting('otel.exporter_otlp_endpoint')").fetchone()[0]
            if file
            else None
        )
        calls = client.run("user=report_service", endpoint)
        say(
            f"the service inserted {sum(c.rows for c in calls)} report requests in {len(calls)} "
            f"transactions over {client.CONNECTIONS} connections, and exported its spans"
        )

        with psycopg.connect("user=report_job") as job:
            generated = job.execute("SELECT generate_daily_reports()").fetchone()[0]
        say(f"the job made {generated} reports and committed")

        exported = owner.execute("SELECT otel.force_flush()").fetchone()[0]
        say(f"the exporter has sent {exported or 0} spans")

        spans = [json.loads(line) for line in file.read_text().splitlines()] if file else None
        show(calls, owner, spans)
        if len(sys.argv) > 2:
            path = pathlib.Path(sys.argv[2])
            path.write_text(page.page(spans, page.first_requests(spans)))
            path.with_suffix(".spans").write_text(file.read_text())  # for demo/pictures
            print(f"\nThe traces as a page for a browser: {path}")
        print("\nIs it true?\n")
        return 0 if prove.prove(calls, owner, spans) else 1


def show(calls, owner, spans):
    """The batch's trace and a request's, as a tree and as a flowchart."""
    request = next(call for call in calls if call.valid)
    if spans is not None:
        batch = next(s for s in spans if s["name"] == prove.BATCH)
        for what, trace_id in (("the batch", batch["trace_id"]), ("a request", request.trace_id)):
            trace = [s for s in spans if s["trace_id"] == trace_id]
            print(f"\nWhat the receiver got of {what}:\n\n{render.tree(trace, max_links=3)}")
    chart = owner.execute(
        "SELECT otel.mermaid(%s::text::otel.trace_context, 3)", (request.context,)
    ).fetchone()[0]
    print(f"\nThe request as a Mermaid flowchart, by otel.mermaid():\n\n{chart}")


if __name__ == "__main__":
    sys.exit(main())
