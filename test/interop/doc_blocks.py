#!/usr/bin/env python3
"""Takes the code out of a page of the documentation, so that a test runs what a reader copies.

    doc_blocks.py PAGE PREFIX FOLDER

A fenced block that is to be run has a comment in the line before it, <!-- run: PREFIX/file.py -->,
or, for SQL that needs more than the extension, <!-- not run: … runs it as PREFIX/file.sql -->.
Each block whose name begins with PREFIX/ becomes a file in FOLDER; blocks of one name become one
file, in order.  Fails when there is none.
"""

import pathlib
import re
import sys

BLOCK = re.compile(
    r"^<!-- (?:run:|not run: [^\n]* runs it as) (\S+) -->\n```\w*\n(.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def blocks(page):
    """The code of each name, in the order of the page."""
    found = {}
    for name, code in BLOCK.findall(pathlib.Path(page).read_text()):
        found[name] = found[name] + "\n" + code if name in found else code
    return found


def main():
    page, prefix, folder = sys.argv[1:]
    written = 0
    for name, code in blocks(page).items():
        if name.startswith(prefix + "/"):
            path = pathlib.Path(folder, name.removeprefix(prefix + "/"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code)
            written += 1
    if written == 0:
        sys.exit(f"doc_blocks: {page} has no block named {prefix}/…")


if __name__ == "__main__":
    main()
