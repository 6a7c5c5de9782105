#!/usr/bin/env python3
"""style: checks what a reader and a reviewer may rely on.  Prints TAP.

    scripts/style.py

- No line of C, SQL, shell, Perl, Python or prose has more than 100 columns; a tab goes to the next
  multiple of 4.  Exceptions: rows of Markdown tables, and words that cannot be broken.
- A C file includes headers of its own room and of those below it, with the room in the path.
- No includes go round, where a C file and its header count as one.
- No two headers have one name, and no two C files.
- No test is ok(1), which cannot fail.
- test/README.md names every test file beside what it proves.
"""

import collections
import fnmatch
import graphlib
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
COLUMNS = 100
SUFFIXES = {".c", ".h", ".sql", ".spec", ".sh", ".pl", ".pm", ".py", ".md", ".js", ".go", ".java",
            ".rs"}
# output that is compared byte by byte, and files that tools write
GENERATED = re.compile(r"^test/expected/|^test/fuzz/corpus/|\.json$|\.sum$|^build/|^debian/")

# From the ground floor up: a file includes headers of its own room or of one before it.
ROOMS = ["", "context", "links", "queue", "spans", "capture", "span_api", "lookback", "http",
         "exporter/otlp", "exporter"]
# Headers that may be included by what their C file builds on; src/README says why.
BELOW_THEIR_C_FILE = {"src/http/http.h", "src/spans/span_exit.h"}
# Files that join the rooms.
ABOVE_ALL = {"src/otel_links.c"}


def files():
    """The files of the checkout, or of a copy without its history."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others",
               "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, check=False)
    if listed.returncode == 0:
        paths = [path for path in listed.stdout.decode().split("\0") if path]
    else:
        paths = []
        for folder, folders, names in os.walk(ROOT):
            folders[:] = [name for name in folders
                          if name not in (".git", "build", "node_modules", "tmp_check")]
            paths += [os.path.relpath(os.path.join(folder, name), ROOT) for name in names]
    return sorted(path for path in paths if not GENERATED.search(path) and (ROOT / path).is_file())


def is_text(path):
    name = pathlib.PurePath(path)
    if name.suffix in SUFFIXES or name.name in {"Makefile", "README"}:
        return True
    with open(ROOT / path, "rb") as file:
        return file.read(2) == b"#!"


def lines(path):
    with open(ROOT / path, encoding="utf-8", errors="replace") as file:
        return file.read().split("\n")


def may_be_long(path, line):
    """Is there no way to break it?"""
    return (path.endswith(".md") and line.startswith("|")) or len(line.split()) == 1


def long_lines(path):
    for number, line in enumerate(lines(path), 1):
        width = len(line.expandtabs(4))
        if width > COLUMNS and not may_be_long(path, line):
            yield f"{path}:{number}: {width} columns"


def room(path):
    return os.path.dirname(os.path.relpath(path, "src"))


def includes(path):
    """(line number, header) of each include that may be of ours."""
    for number, line in enumerate(lines(path), 1):
        header = re.match(r'#include "([^"]+)"', line)
        if header is not None:
            yield number, header[1]


def arrows(sources):
    for path in sources:
        if path in ABOVE_ALL:
            continue
        if room(path) not in ROOMS:
            yield f"{path}: which room is that?"
            continue
        for number, header in includes(path):
            target = "src/" + header
            if target not in sources:
                if os.path.dirname(path) + "/" + header in sources:
                    yield f'{path}:{number}: "{header}" is written without its room'
            elif ROOMS.index(room(target)) > ROOMS.index(room(path)):
                yield f'{path}:{number}: "{header}" is above this room'


def circles(sources):
    """One circle of includes, if there is any."""
    graph = collections.defaultdict(set)
    for path in sources:
        name = os.path.splitext(path)[0]
        for _, header in includes(path):
            target = "src/" + header
            if target in sources and target not in BELOW_THEIR_C_FILE:
                graph[name].add(os.path.splitext(target)[0])
        graph[name].discard(name)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        yield " is included by ".join(error.args[1])


def same_names(sources):
    by_name = collections.defaultdict(list)
    for path in sources:
        by_name[os.path.basename(path)].append(path)
    return [" and ".join(paths) for paths in by_name.values() if len(paths) > 1]


def certain_tests(paths):
    for path in paths:
        if not path.endswith((".pl", ".pm", ".sql")) or not path.startswith("test/"):
            continue
        for number, line in enumerate(lines(path), 1):
            if re.search(r"\b(ok|pass)\s*\(\s*(1|true)?\s*[,)]", line, re.IGNORECASE):
                yield f"{path}:{number}: {line.strip()}"


def tests_without_a_place(paths):
    """A test is found by what it proves: test/README.md names its file, or a pattern for it."""
    readme = (ROOT / "test" / "README.md").read_text(encoding="utf-8")
    patterns = [name for name in re.findall(r"`([^`]+)`", readme) if "/" in name]
    for path in paths:
        if re.match(r"test/(t/.*\.pl|pgtap/.*|sql/.*|specs/.*|unit/.*|fuzz/.*\.c)$", path):
            if not any(fnmatch.fnmatch(path, "test/" + pattern) for pattern in patterns):
                yield path


def main():
    paths = files()
    text = [path for path in paths if is_text(path)]
    sources = [path for path in paths if re.match(r"src/.*\.[ch]$", path)]
    checks = [
        (f"no line has more than {COLUMNS} columns",
         [found for path in text for found in long_lines(path)]),
        ("every include stays in its room or goes down", list(arrows(sources))),
        ("no includes go round", list(circles(sources))),
        ("no two headers and no two C files have one name", same_names(sources)),
        ("every test can fail", list(certain_tests(paths))),
        ("test/README.md says what each test file proves", list(tests_without_a_place(paths)))]
    for number, (sentence, against) in enumerate(checks, 1):
        print(f"{'not ok' if against else 'ok'} {number} - {sentence}")
        for found in against:
            print(f"#   {found}")
    print(f"1..{len(checks)}")
    return int(any(against for _, against in checks))


if __name__ == "__main__":
    sys.exit(main())
