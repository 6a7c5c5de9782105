"""What suites share that are a Python program: TAP, and a database of one's own."""

import contextlib

import psycopg
from psycopg import sql

_results = []


def check(passed, name, *details):
    _results.append(bool(passed))
    print("ok" if passed else "not ok", len(_results), "-", name, flush=True)
    if not passed:
        for detail in details:
            print("\n".join("# " + line for line in str(detail).splitlines()), flush=True)


def check_equal(got, expected, name):
    check(got == expected, name, f"got:      {got!r}", f"expected: {expected!r}")


def end():
    """Prints the plan; returns the program's exit status."""
    print(f"1..{len(_results)}")
    return 0 if all(_results) else 1


@contextlib.contextmanager
def database(name):
    """A connection to a database of that name, which has the extension and is gone afterwards."""
    with psycopg.connect(autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        server.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        try:
            with psycopg.connect(dbname=name, autocommit=True) as connection:
                connection.execute("CREATE EXTENSION otel_links")
                yield connection
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def configure(connection, **settings):
    """Sets what the exporter of this database and new sessions of it read."""
    for name, value in settings.items():
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                sql.Identifier(connection.info.dbname),
                sql.Identifier("otel", name),
                sql.Literal(value),
            )
        )
