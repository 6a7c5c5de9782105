"""Fifty clients that insert rows through a pooler, and a look at whose context the rows have.

    clients.py HOST PORT NAME [--prepared] [--leftovers] [--application-name]

Each insert is a transaction of its own and says in the row which context it sends, by a comment, by
SET LOCAL or not at all.  A tenth are rolled back.  A tenth of the clients leave something behind on
the server's connection: an open span, and a session-level otel.traceparent.  --prepared makes the
driver prepare every statement under a name.  --leftovers says that nothing keeps a session-level
leftover from the next client, neither otel.context_sources nor the pooler: then rows that send
nothing may have one, and only that, unless it is the pooler that prepared the statement.
--application-name sends every context as application_name, in a transaction of its own before the
insert.  Prints TAP lines.
"""

import hashlib
import os
import sys
import threading

import psycopg

CLIENTS = 50
INSERTS = 400

# what a transaction does, by its number modulo 10
PLAN = [
    "none",
    "comment",
    "set local",
    "rolled back",
    "comment",
    "set local",
    "both",
    "comment",
    "set local",
    "stale",
]


def traceparent(*key):
    digest = hashlib.sha256(repr(key).encode()).hexdigest()
    return f"00-{digest[:32]}-{digest[32:48]}-01"


def leftover(client):
    return traceparent("leftover", client)


def leaves_something(client):
    return client % 10 == 3


class Client(threading.Thread):
    def __init__(self, number, conninfo, prepared, by_name):
        super().__init__()
        self.number = number
        self.conninfo = conninfo
        self.prepared = prepared
        self.by_name = by_name
        self.error = None

    def run(self):
        try:
            # 0: prepare at first sight; None: never
            with psycopg.connect(
                self.conninfo, prepare_threshold=0 if self.prepared else None
            ) as connection:
                for i in range(INSERTS):
                    self.insert(connection, i)
        except Exception as error:  # told by the main thread
            self.error = error

    def insert(self, connection, i):
        """One transaction."""
        how = PLAN[i % len(PLAN)]
        if self.by_name and how != "rolled back":
            how = "name"
        context = traceparent(self.number, i)
        comment = ""
        sent = None
        if how in ("comment", "both", "rolled back"):
            comment = f"/*db_driver='psycopg',traceparent='{context}'*/"
            sent = context
        if how == "name":
            connection.execute(f"SET application_name = '{context}'")
            connection.commit()
            sent = context
        if how == "stale" and self.prepared:
            # a text that is kept with the comment of the client's first request, and executed again
            comment = f"/*traceparent='{traceparent(self.number, 'first')}'*/"
        if how in ("set local", "both"):
            if how == "both":
                context = traceparent(self.number, i, "set local")
            connection.execute("SELECT otel.set_trace_context(%s)", (context,))
            sent = context
        row = (self.number * 10000 + i, how, sent)
        connection.execute(
            f"INSERT INTO pooled_jobs (id, how, sent) VALUES (%s, %s, %s) {comment}", row
        )
        if leaves_something(self.number):
            connection.execute("SELECT otel.start_span('left open')")
            if i % 2 == 0:
                connection.execute(
                    "SELECT otel.set_trace_context(%s, is_local => false)", (leftover(self.number),)
                )
        if how == "rolled back":
            connection.rollback()
        else:
            connection.commit()


class Report:
    def __init__(self, name):
        self.name = name

    def is_(self, got, expected, what):
        print(("ok" if got == expected else "not ok") + f" - {self.name}: {what}")
        if got != expected:
            print(f"# got {got!r}, expected {expected!r}")


def look(report, prepared, leftovers):
    with psycopg.connect("", autocommit=True) as server:

        def count(condition, *parameters):
            return server.execute(
                f"SELECT count(*) FROM pooled_jobs WHERE {condition}", parameters
            ).fetchone()[0]

        committed = CLIENTS * (INSERTS - INSERTS // len(PLAN))
        report.is_(count("true"), committed, f"{committed} rows of {CLIENTS} clients")
        report.is_(
            count("sent IS NOT NULL AND otel.traceparent(trace_context) <> sent"),
            0,
            "no row has another context than its client sent",
        )
        report.is_(
            count("how IN ('set local', 'both') AND trace_context IS NULL"),
            0,
            "no row lacks a context that SET LOCAL sent",
        )
        report.is_(
            count("how = 'name' AND trace_context IS NULL"),
            0,
            "no row lacks a context that application_name sent",
        )
        if prepared:
            report.is_(
                count("how = 'comment' AND trace_context IS NOT NULL"),
                0,
                "the comment of a statement that the pooler prepared is not trusted",
            )
        else:
            report.is_(
                count("how = 'comment' AND trace_context IS NULL"),
                0,
                "no row lacks a context that a comment sent",
            )
        silent = "sent IS NULL AND trace_context IS NOT NULL"
        if leftovers and not prepared:
            known = [leftover(client) for client in range(CLIENTS) if leaves_something(client)]
            report.is_(
                count(f"{silent} AND otel.traceparent(trace_context) <> ALL (%s)", known),
                0,
                "a row without a context has none, or what a client set for the session",
            )
            print(
                f"# {count(silent)} of {count('sent IS NULL')} rows that sent none "
                "have such a leftover"
            )
        else:
            report.is_(count(silent), 0, "no row without a context has one")
        server.execute("TRUNCATE pooled_jobs")


def main():
    host, port, name = sys.argv[1:4]
    prepared = "--prepared" in sys.argv
    conninfo = f"host={host} port={port} dbname=pooled user={os.environ['PGUSER']} options=''"
    by_name = "--application-name" in sys.argv
    clients = [Client(number, conninfo, prepared, by_name) for number in range(CLIENTS)]
    wait_for_pooler(conninfo)
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    errors = [client.error for client in clients if client.error]
    if errors:
        raise errors[0]
    look(Report(name), prepared, "--leftovers" in sys.argv)


def wait_for_pooler(conninfo):
    """Until its socket answers; it was started just now."""
    for _ in range(200):
        try:
            psycopg.connect(conninfo).close()
            return
        except psycopg.OperationalError:
            threading.Event().wait(0.05)
    psycopg.connect(conninfo).close()


if __name__ == "__main__":
    main()
