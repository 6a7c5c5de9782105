#!/usr/bin/env python3
"""Has Mermaid draw what otel.mermaid() writes: draw.py MERMAID_JS.  Speaks TAP."""

import json
import pathlib
import re
import sys
import tempfile

import psycopg

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "test" / "browser"))

import chromium  # noqa: E402

LINKS = (1, 10, 128, 10000)
NAMES = [
    'say "hi"', "`**bold**`", "<script>alert(1)</script>", "%% comment", "a; b", "[x](y)",
    "end", "1. list", "- item", "größe 日本", "&amp; #35; #quot;", "two\nlines",
    "{curly} (round) |bar|", "graph TD; a-->b", "x" * 200, "click n1 callback",
    "_under_ *star*", "https://example.com/a?b=c",
]  # fmt: skip

PAGE = """<!DOCTYPE html><meta charset="utf-8"><body></body>
<script src="mermaid.js"></script><script>
mermaid.initialize({startOnLoad: false});    // its defaults: 500 edges, 50,000 characters, strict
async function draw(id, chart) {
    const {svg} = await mermaid.render(id, chart);
    const place = document.createElement('div');
    place.innerHTML = svg;
    document.body.append(place);
    const all = (selector) => [...place.querySelectorAll(selector)];
    return {edges: all('path.flowchart-link').length,
            boxes: all('g.cluster').length,
            labels: all('g.node .nodeLabel').map((e) => e.textContent.trim()),
            titles: all('g.cluster-label').map((e) => e.textContent.trim()),
            scripts: all('script').length};
}
</script>"""


class Proof:
    def __init__(self):
        self.number = 0
        self.failed = 0

    def ok(self, holds, what, *why):
        self.number += 1
        self.failed += not holds
        print(f"{'ok' if holds else 'not ok'} {self.number} - {what}", flush=True)
        for reason in why if not holds else ():
            print(f"#   {reason}")


def charts(connection):
    """By what it is: the chart of a batch with so many links, and of a span of each name."""
    context = "otel.from_ids(md5('t' || i), left(md5('s' || i), 16), 1)"
    connection.execute("SET otel.span_link_count_limit = 100000")
    connection.execute("SET otel.traces_exporter = none")
    result = {}
    for count in LINKS:
        with connection.transaction():
            batch = connection.execute(
                f"""SELECT otel.start_span('process reports', root => true, links => (
                        SELECT otel.link_agg({context} ORDER BY i)
                          FROM generate_series(1, %s) AS i))::text""",
                (count,),
            ).fetchone()[0]
            connection.execute(
                f"SELECT otel.record_wait({context}, now()) FROM generate_series(1, %s) AS i",
                (min(count, 128),),
            )
            connection.execute("SELECT otel.end_span()")
        result[count] = [
            connection.execute(
                "SELECT otel.mermaid(%s::text::otel.trace_context, %s)", (batch, links)
            ).fetchone()[0]
            for links in (10, count)
        ]
    for name in NAMES:
        span = connection.execute(
            "SELECT otel.record_span(%s, now(), root => true)::text", (name,)
        )
        result[name] = [
            connection.execute(
                "SELECT otel.mermaid(%s::text::otel.trace_context)", (span.fetchone()[0],)
            ).fetchone()[0]
        ]
    return result


def main():
    proof = Proof()
    if not chromium.find():
        print("1..0 # SKIP there is no Chromium here")
        return 0
    with psycopg.connect(autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS mermaid")
        admin.execute("CREATE DATABASE mermaid")
        admin.execute("ALTER DATABASE mermaid SET otel.traces_exporter = none")
    with psycopg.connect("dbname=mermaid", autocommit=True) as connection:
        connection.execute("CREATE EXTENSION otel_links")
        written = charts(connection)
    with tempfile.TemporaryDirectory() as folder, chromium.Chromium() as browser:
        folder = pathlib.Path(folder)
        (folder / "mermaid.js").write_bytes(pathlib.Path(sys.argv[1]).read_bytes())
        (folder / "page.html").write_text(PAGE)
        page = browser.open(folder / "page.html")

        def draw(number, chart):
            return page.evaluate(f"draw('chart{number}', {json.dumps(chart)})")

        for count in LINKS:
            for chart, asked in zip(written[count], (10, count)):
                arrows = len(re.findall(r" (?:-->|-\.->) ", chart))
                what = f"a batch of {count} links, {asked} of them asked for"
                try:
                    drawn = draw(f"{count}{asked}", chart)
                except RuntimeError as e:
                    proof.ok(False, what, e)
                    continue
                proof.ok(
                    drawn["edges"] == arrows and drawn["boxes"] == chart.count("subgraph"),
                    f"{what}: all {arrows} arrows and {drawn['boxes']} traces are drawn",
                    {k: v for k, v in drawn.items() if k in ("edges", "boxes")},
                )
        for number, name in enumerate(NAMES):
            wanted = " ".join(name.split()) if len(name) <= 40 else name[:37] + "..."
            try:
                drawn = draw(f"name{number}", written[name][0])
            except RuntimeError as e:
                proof.ok(False, f"a span named {wanted}", e)
                continue
            proof.ok(
                [" ".join(label.split()) for label in drawn["labels"]] == [wanted]
                and drawn["scripts"] == 0,
                f"a span named {wanted} is drawn with its name".replace("#", "\\#"),
                drawn,
            )
        proof.ok(page.errors == [], "nothing is wrong in the console", *page.errors)
    print(f"1..{proof.number}")
    return 1 if proof.failed else 0


if __name__ == "__main__":
    sys.exit(main())
