#!/usr/bin/env python3
"""Is docs/reference.md what "make docs" would write?  Speaks TAP; suite docs of scripts/check."""

import difflib
import pathlib
import sys

import psycopg

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

import reference  # noqa: E402


def main():
    with psycopg.connect(autocommit=True) as connection:
        catalog = reference.Catalog(connection)
    wanted = reference.reference(catalog)
    got = reference.REFERENCE.read_text()
    print(
        f"{'ok' if got == wanted else 'not ok'} 1 - "
        "docs/reference.md says what the catalog says (else: make docs)"
    )
    for line in difflib.unified_diff(
        got.splitlines(), wanted.splitlines(), "the file", "the catalog", lineterm="", n=0
    ):
        print("# " + line)
    without = [
        name
        for _, names in catalog.sections
        for name in names
        if name not in catalog.examples and any(f[0] == name for f in catalog.functions)
    ]
    print(f"{'not ok' if without else 'ok'} 2 - every function has an example")
    print("# " + ", ".join(without))
    print("1..2")
    return 1 if got != wanted or without else 0


if __name__ == "__main__":
    sys.exit(main())
