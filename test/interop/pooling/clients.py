"""Fifty clients that insert rows through a pooler, and a look at whose context the rows have.

    clients.py HOST PORT NAME --database DATABASE [--prepared] [--leftovers] [--application-name]
        [--own-sessions] [--no-comments]

Each insert is a transaction of its own and says in the row which context it sends, by a comment, by
SET LOCAL or not at all.  A tenth are rolled back.  A tenth of the clients leave something behind on
the server's connection: an open span, and a session-level otel.traceparent.  --prepared makes the
driver prepare every statement under a name.  --leftovers says that nothing keeps a session-level
leftover from the next client, neither otel.context_sources nor the pooler: then rows that send
nothing may have one, and only that, unless it is the pooler that prepared the statement.
--application-name sends every context as application_name, in a transaction of its own before the
insert.  --own-sessions says that a client keeps its server connection, and that nothing of it is
left for the next: then rows that send nothing may have the client's own session-level context.
--no-comments says that the pooler sends other statements, without their comments.  Prints TAP
lines.
"""

import argparse
import hashlib
import os
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


def look(report, options):
    with psycopg.connect("", autocommit=True) as server:

        def count(condition, *parameters):
            return server.execute(
                f"SELECT count(*) FROM pooled_jobs WHERE {condition}", parameters
            ).fetchone()[0]

        committed = CLIENTS * (INSERTS - INSERTS // len(PLAN))
        report.is_(count("true"), committed, f"{committed} rows of {CLIENTS} clients")
        wrong = "sent IS NOT NULL AND otel.traceparent(trace_context) <> sent"
        if options.no_comments:
            wrong += " AND how <> 'comment'"
        report.is_(count(wrong), 0, "no row has another context than its client sent")
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
        look_at_comments(report, options, count)
        look_at_silent(report, options, count)
        server.execute("TRUNCATE pooled_jobs")


def look_at_comments(report, options, count):
    if options.prepared or options.no_comments:
        report.is_(
            count("how = 'comment' AND otel.traceparent(trace_context) = sent"),
            0,
            "no comment comes through the pooler" if options.no_comments
            else "the comment of a statement that the pooler prepared is not trusted",
        )
    else:
        report.is_(
            count("how = 'comment' AND trace_context IS NULL"),
            0,
            "no row lacks a context that a comment sent",
        )


def look_at_silent(report, options, count):
    """Rows whose client sent nothing."""
    silent = "sent IS NULL AND trace_context IS NOT NULL"
    known = [leftover(client) for client in range(CLIENTS)]
    if options.own_sessions:
        report.is_(
            count(
                f"{silent} AND otel.traceparent(trace_context) <> (%s::text[])[id / 10000 + 1]",
                known,
            ),
            0,
            "a row without a context has none, or what the same client set for its session",
        )
        report.is_(
            count(f"{silent} AND id / 10000 %% 10 = 3") > 0, True, "and some of them have that"
        )
    elif options.leftovers and not options.prepared:
        known = [context for client, context in enumerate(known) if leaves_something(client)]
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


def arguments():
    parser = argparse.ArgumentParser()
    for name in ("host", "port", "name"):
        parser.add_argument(name)
    parser.add_argument("--database", required=True)
    for name in ("prepared", "leftovers", "application-name", "own-sessions", "no-comments"):
        parser.add_argument(f"--{name}", action="store_true")
    return parser.parse_args()


def main():
    options = arguments()
    conninfo = (
        f"host={options.host} port={options.port} dbname={options.database} "
        f"user={os.environ['PGUSER']} options=''"
    )
    clients = [
        Client(number, conninfo, options.prepared, options.application_name)
        for number in range(CLIENTS)
    ]
    wait_for_pooler(conninfo)
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    errors = [client.error for client in clients if client.error]
    if errors:
        raise errors[0]
    look(Report(options.name), options)


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
