#!/usr/bin/env python3
"""Is what README and docs say true?  Speaks TAP; scripts/check runs it as its suite docs.

    scripts/cluster build/venv/bin/python3 test/docs/check_docs.py [PAGE...]

For every page: links, their anchors, and the paths and make targets it names exist; so does every
otel.name, as a function, a table, a type or a setting; and its SQL runs, block after block, in a
new database that has the extension and nothing else.  A page therefore begins with the tables that
its examples use.  The database is called app, a role app exists, and a collector takes the spans.

In a block of SQL, a line "-- → value" is what psql prints (unaligned, without headers) up to there,
empty lines left out; a block that has such a line prints nothing else.  A comment on the line
before a block says what is special about it:

    <!-- not run: why -->       counts as skipped
    <!-- needs pg_cron -->      run where that extension is preloaded, else skipped
    <!-- crashes a server with assertions -->   skipped there
    <!-- warns -->              a warning is expected
    <!-- raises: text -->       its last statement fails with that text in the message
"""

import os
import pathlib
import re
import subprocess
import sys

import psycopg

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "receiver"))

from otlp_receiver import Receiver  # noqa: E402

DIRECTIVE = r"(?:<!-- (?P<directive>[^\n]*) -->\n)?"
BLOCK = re.compile(
    r"^" + DIRECTIVE + r"(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
TOP_FOLDERS = "contrib|bench|debian|demo|docs|scripts|src|test"
STANDARD_TARGETS = {"all", "install", "installcheck", "uninstall", "clean"}
# What stands for a public address, and the folders that are not looked into
PLACEHOLDER = b"otel-links." + b"example"
NOT_OURS = {".git", "build", "tmp_check", "node_modules", "target", "__pycache__"}
# Names under otel. that are the reader's own, or a family: "otel.exporter_…"
FREE_NAMES = {"something", "foo_bar"}


def pages():
    found = [
        ROOT / name
        for name in (
            "README.md",
            "CONTRIBUTING.md",
            "SECURITY.md",
            "CHANGELOG.md",
            "src/README",
            "test/README.md",
            "contrib/monitoring/README.md",
        )
    ]
    return [page for page in found if page.exists()] + sorted((ROOT / "docs").rglob("*.md"))


def without_blocks(text):
    return BLOCK.sub("", text)


def slugs(text):
    """The anchors that a page's headings get, as GitHub makes them."""
    seen = {}
    for heading in re.findall(r"^#{1,6} (.*)$", without_blocks(text), re.MULTILINE):
        heading = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        yield f"{slug}-{count}" if count else slug


def broken_links(page, text):
    for target in re.findall(r"!?\[[^]]*\]\(([^)\s]+)\)", without_blocks(text)) + re.findall(
        r'<(?:img|source)\b[^>]* (?:src|srcset)="([^"]+)"', text
    ):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            if not re.match(r"https://|mailto:", target):
                yield target
            continue
        other = (page.parent / path).resolve() if path else page
        if not other.exists():
            yield target
        elif anchor and anchor not in set(slugs(other.read_text())):
            yield target


def odd_fences(text):
    """Fences that no test would see, such as one with two words after it."""
    for line in re.findall(r"^ *```.*$", without_blocks(text), re.MULTILINE):
        yield line


def missing_paths(text):
    for path in re.findall(rf"`((?:{TOP_FOLDERS})/[\w./*-]+)`", text):
        if not any(ROOT.glob(path.rstrip("/"))):
            yield path


def missing_targets(text):
    makefile = (ROOT / "Makefile").read_text()
    known = STANDARD_TARGETS | set(
        re.search(r"^COMMANDS *= ((?:.*\\\n)*.*)$", makefile, re.MULTILINE)[1].split()
    )
    code = re.findall(r"`([^`\n]*)`", without_blocks(text))
    code += [block["text"] for block in BLOCK.finditer(text) if block["language"] in ("", "sh")]
    for target in re.findall(
        r"(?:^|[`&(] ?|sudo )make ([a-z][a-z-]*)", "\n".join(code), re.MULTILINE
    ):
        if target not in known:
            yield f"make {target}"


def missing_names(text, known):
    for name in re.findall(r"\botel\.([a-z][a-z_]*[a-z])\b(?![_…*.])", text):
        if name not in known and name not in FREE_NAMES:
            yield f"otel.{name}"


def batches_with_a_parent(text):
    """Batch spans in examples that are neither roots nor have a parent that was chosen."""
    for call in re.finditer(r"\botel\.(?:start|record)_span\(", text):
        end, depth = call.end(), 1
        while depth and end < len(text):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        arguments = text[call.end() : end]
        if "'consumer'" in arguments and not re.search(r"\b(root|parent) =>", arguments):
            yield " ".join(arguments.split())


def rows(page):
    """The rows of a page's tables, as lists of cells without bold type."""
    lines = re.findall(r"^\| (.*) \|$", (ROOT / page).read_text(), re.MULTILINE)
    return [line.replace("**", "").split(" | ") for line in lines]


def wrong_costs(text):
    """README's table of costs, as the tables of the pages that it points to would have it."""
    inserts = {row[0]: row[1:] for row in rows("docs/capture.md") if len(row) == 6}
    ours = [cells for name, cells in inserts.items() if name.startswith("`otel.trace_context`")]
    as_text = inserts["`text DEFAULT current_setting('otel.traceparent', true)`"]
    trigger = inserts["a plpgsql trigger that fills three columns"]
    bulk = max(float(cells[2]) for cells in ours)
    single = sorted(float(cells[4]) for cells in ours)
    size = {row[0]: row[1] for row in rows("docs/operations.md") if len(row) == 2}
    rate = {row[0]: row[1] for row in rows("docs/operations.md") if len(row) == 3}
    many = rate["128 links of two attributes each"].removeprefix("about ")
    for line in (
        f"| a context in a row | {ours[0][0]} bytes; as text it is {as_text[0]}, "
        f"as a jsonb carrier {inserts['jsonb carrier'][0]} |",
        f"| an INSERT of many rows | {bulk:.2f} times one without the column; "
        f"`text DEFAULT current_setting(…)` {float(as_text[2]):.1f}, "
        f"a plpgsql trigger {float(trigger[2]):.1f} |",
        f"| a single INSERT | {single[0]:.2f} to {single[-1]:.2f} times one without the column |",
        f"| a span with 3 links in the queue | {size['3 links']} bytes |",
        f"| the exporter | {rate['3 links']} spans a second with 3 links, {many} with 128 links |",
    ):
        if line not in text:
            yield line


def wrong_placeholders(text):
    """Is the list of files that lack an address what "git grep" would find?"""
    section = re.search(
        r"^## Before the first release\n(.*?)^## ", text, re.MULTILINE | re.DOTALL
    )
    rows = re.findall(r"^\| (`.*?) \|", section[1] if section else "", re.MULTILINE)
    named = set(re.findall(r"`([^`]+)`", " ".join(rows)))
    found = set()
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in NOT_OURS]
        for path in (pathlib.Path(folder) / name for name in files):
            if path.is_file() and PLACEHOLDER in path.read_bytes():
                found.add(str(path.relative_to(ROOT)))
    found.discard("CONTRIBUTING.md")
    for name in sorted(found ^ named):
        yield f"{name} has a placeholder: {name in found}, is listed: {name in named}"
    if section and not found:
        yield "no file has a placeholder: the section can go"


class Database:
    """The server, the names that the extension has, and a database named app for each page."""

    def __init__(self, receiver):
        self._bindir = subprocess.check_output(
            [os.environ["PG_CONFIG"], "--bindir"], text=True
        ).strip()
        self._connection = psycopg.connect(autocommit=True)
        self._connection.execute("LOAD 'otel_links'")
        self._connection.execute(f"ALTER SYSTEM SET otel.exporter_otlp_endpoint = '{receiver.url}'")
        self._connection.execute("SELECT pg_reload_conf()")
        self._connection.execute("CREATE EXTENSION IF NOT EXISTS otel_links")
        self.names = {
            name
            for name, in self._connection.execute(
                """
            SELECT proname FROM pg_proc WHERE pronamespace = 'otel'::regnamespace
            UNION SELECT relname FROM pg_class WHERE relnamespace = 'otel'::regnamespace
            UNION SELECT typname FROM pg_type WHERE typnamespace = 'otel'::regnamespace
            UNION SELECT substr(name, 6) FROM pg_settings WHERE name LIKE 'otel.%'"""
            )
        }
        self._preloaded = self._show("shared_preload_libraries")
        self.asserts = self._show("debug_assertions") == "on"

    def _show(self, setting):
        return self._connection.execute(f"SHOW {setting}").fetchone()[0]

    def new(self, with_extension):
        self._connection.execute("DROP DATABASE IF EXISTS app WITH (FORCE)")
        for (role,) in self._connection.execute(
            "SELECT rolname FROM pg_roles WHERE oid >= 16384"
        ).fetchall():
            self._connection.execute(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')
        self._connection.execute("CREATE ROLE app LOGIN")
        self._connection.execute("CREATE DATABASE app")
        if with_extension:
            self.psql("CREATE EXTENSION otel_links")

    def has(self, extension):
        return extension in self._preloaded

    def psql(self, sql):
        # what a block sets for the database is not for the next one
        self._connection.execute("ALTER DATABASE app RESET ALL")
        return subprocess.run(
            [f"{self._bindir}/psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", "app"],
            input=sql,
            capture_output=True,
            text=True,
            check=False,
        )


def run_block(database, text, directive):
    """What is wrong with a block: a text, or None."""
    shown = database.psql(text)
    raises = re.match(r"raises: (.*)", directive)
    if raises:
        return (
            None if raises[1] in shown.stderr else f"does not raise {raises[1]!r}: {shown.stderr}"
        )
    if shown.returncode != 0 or ("WARNING" in shown.stderr) != (directive == "warns"):
        return shown.stderr or "does not warn"
    wanted = re.findall(r"^ *-- → (.*)$", text, re.MULTILINE)
    got = [line for line in shown.stdout.splitlines() if line]
    if wanted and wanted != got:
        return "\n".join(["prints", *got, "and not", *wanted])
    return None


def quick_start_arrives(text, spans):
    """What README's quick start promises: one span, linked to the trace of its client."""
    _, trace_id, span_id, _ = re.search(r"traceparent='([^']*)'", text)[1].split("-")
    got = [
        (
            s["name"],
            s["kind"],
            s["status"]["code"],
            [(k["trace_id"], k["span_id"]) for k in s["links"]],
        )
        for s in spans
    ]
    wanted = [("process jobs", "consumer", "unset", [(trace_id, span_id)])]
    return [] if got == wanted else [f"the collector has {got} and not {wanted}"]


class Tap:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def ok(self, problems, name, skip=None):
        problems = list(problems)
        self.count += 1
        self.failed += bool(problems)
        print(
            f"{'not ok' if problems else 'ok'} {self.count} - {name}"
            + (f" # SKIP {skip}" if skip else "")
        )
        for problem in problems:
            print("# " + problem.rstrip().replace("\n", "\n# "), flush=True)


def check_sql(tap, database, name, text):
    blocks = [block for block in BLOCK.finditer(text) if block["language"] == "sql"]
    if not blocks:
        return
    database.new(not any("CREATE EXTENSION otel_links" in block["text"] for block in blocks))
    for block in blocks:
        line = text.count("\n", 0, block.start("indent")) + 1
        directive = block["directive"] or ""
        needs = re.match(r"needs (\w+)", directive)
        if directive.startswith("not run: "):
            tap.ok([], f"{name}:{line} is SQL that runs", directive.removeprefix("not run: "))
        elif needs and not database.has(needs[1]):
            tap.ok([], f"{name}:{line} is SQL that runs", f"no {needs[1]} here")
        elif directive == "crashes a server with assertions" and database.asserts:
            tap.ok([], f"{name}:{line} is SQL that runs", "a server with assertions")
        else:
            problem = run_block(database, block["text"], directive)
            tap.ok([problem] if problem else [], f"{name}:{line} is SQL that runs")


def main():
    tap = Tap()
    with Receiver() as receiver:
        database = Database(receiver)
        for page in [pathlib.Path(name).resolve() for name in sys.argv[1:]] or pages():
            name = str(page.relative_to(ROOT))
            text = page.read_text()
            tap.ok(broken_links(page, text), f"{name}: every link and anchor exists")
            tap.ok(odd_fences(text), f"{name}: every block has one language or none")
            tap.ok(missing_paths(text), f"{name}: every path exists")
            tap.ok(missing_targets(text), f"{name}: every make target exists")
            if name != "CHANGELOG.md":
                tap.ok(missing_names(text, database.names), f"{name}: every otel.name exists")
            tap.ok(
                batches_with_a_parent(text), f"{name}: each batch span is a root or has its parent"
            )
            if name == "README.md":
                tap.ok(wrong_costs(text), f"{name}: the costs are those of the other pages")
            if name == "CONTRIBUTING.md":
                tap.ok(
                    wrong_placeholders(text), f"{name}: every file that lacks an address is listed"
                )
            seen = len(receiver.spans)
            check_sql(tap, database, name, text)
            if name == "README.md":
                tap.ok(
                    quick_start_arrives(text, receiver.spans[seen:]),
                    "README.md: the span of the quick start arrives",
                )
    print(f"1..{tap.count}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
