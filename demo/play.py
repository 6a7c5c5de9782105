#!/usr/bin/env python3
"""Plays the scenario on the cluster that the environment names, shows what was received, and proves it.

    play.py [SPANS_FILE]    the receiver's file of spans; none when the collector is somebody else's
"""

import json
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "test" / "receiver"))

import psycopg  # noqa: E402

import client  # noqa: E402
import prove  # noqa: E402
import render  # noqa: E402


def main():
    began = time.monotonic()

    def say(text):
        print(f"[{time.monotonic() - began:5.2f} s] {text}", flush=True)

    with psycopg.connect(autocommit=True) as owner:
        for file in ("schema.sql", "generate_daily_reports.sql"):
            owner.execute((HERE / file).read_text())

        calls = client.run("user=report_service")
        say(f"the service inserted {sum(c.rows for c in calls)} report requests in {len(calls)} transactions "
            f"over {client.CONNECTIONS} connections")

        with psycopg.connect("user=report_job") as job:
            generated = job.execute("SELECT generate_daily_reports()").fetchone()[0]
        say(f"the job made {generated} reports and committed")

        exported = owner.execute("SELECT otel.force_flush()").fetchone()[0]
        say(f"the exporter has sent {exported or 0} spans")

        spans = None
        if len(sys.argv) > 1:
            spans = [json.loads(line) for line in pathlib.Path(sys.argv[1]).read_text().splitlines()]
            print(f"\nWhat the receiver got:\n\n{render.tree(spans)}")
            print(f"\nThe same as a Mermaid flowchart:\n\n{render.mermaid(spans)}")
        print("\nIs it true?\n")
        return 0 if prove.prove(calls, owner, spans) else 1


if __name__ == "__main__":
    sys.exit(main())
