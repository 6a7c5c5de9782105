"""Runs the worker programs of docs/workers.md and looks at the spans that a receiver gets.  Prints
TAP.

test.py FOLDER LANGUAGE…      FOLDER/LANGUAGE holds the programs sql, sdk and recorded
"""

import os
import pathlib
import subprocess
import sys

import psycopg

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "test" / "receiver"), str(ROOT / "test" / "interop")]

from doc_blocks import blocks  # noqa: E402
from otlp_receiver import Receiver  # noqa: E402

# Of 120 rows the first batch takes 100; every tenth has no context, every fourth a tracestate.
INSERT = """
    INSERT INTO jobs (payload, trace_context)
    SELECT i, CASE WHEN i % 10 > 0 THEN
               otel.from_ids(md5(i::text), right(md5((-i)::text), 16), 1,
                             CASE WHEN i % 4 = 0 THEN 'n=' || i END) END
      FROM generate_series(1, 120) i"""
CONTEXTS = """
    SELECT otel.trace_id(trace_context), otel.span_id(trace_context) FROM jobs
     WHERE trace_context IS NOT NULL AND id BETWEEN %s AND %s"""

COUNT = "messaging.batch.message_count"
ATTRIBUTES = {
    "messaging.system": "postgresql",
    "messaging.destination.name": "jobs",
    "messaging.operation.name": "process",
    "messaging.operation.type": "process",
}
# The statement that finishes the jobs fails.
BREAK = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'out of paper'; END $$;
    CREATE TRIGGER refuse BEFORE UPDATE ON jobs FOR EACH ROW WHEN (NEW.status = 'done')
        EXECUTE FUNCTION refuse()"""

count = 0
failures = 0


def check(got, expected, name):
    global count, failures
    count += 1
    failures += got != expected
    print("ok" if got == expected else "not ok", count, "-", name, flush=True)
    if got != expected:
        print(f"# got {got!r}, expected {expected!r}")


class Worker:
    def __init__(self, language, way, folder, receiver, database):
        self.name = f"{language}, {way}"
        self.way = way
        self.program = folder / language / way
        self.receiver = receiver
        self.database = database
        self.seen = 0

    def sql(self, query, parameters=None):
        with psycopg.connect(dbname=self.database, autocommit=True) as connection:
            connection.add_notice_handler(lambda notice: None)
            cursor = connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    def run(self, fails=False):
        """Runs the program once; the spans that it and the database exported."""
        jdbc = (
            f"jdbc:postgresql://127.0.0.1:{os.environ['PGPORT']}/{self.database}"
            f"?user={os.environ['PGUSER']}"
        )
        environment = os.environ | {
            "PGDATABASE": self.database,
            "JDBC_URL": jdbc,
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.receiver.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_SERVICE_NAME": "worker",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
        }
        status = subprocess.run([self.program], env=environment, stdout=sys.stderr).returncode
        check(status != 0, fails, f"{self.name}: the program {'fails' if fails else 'ends well'}")
        # the session of a program that died may still be about to queue its span
        self.sql(
            """DO $$ BEGIN
                WHILE EXISTS (SELECT FROM pg_stat_activity WHERE pid <> pg_backend_pid()
                              AND datname = current_database() AND backend_type = 'client backend')
                LOOP PERFORM pg_stat_clear_snapshot(), pg_sleep(0.01); END LOOP;
            END $$"""
        )
        self.sql("SELECT otel.force_flush()")
        spans = self.receiver.spans[self.seen :]
        self.seen += len(spans)
        return spans

    def batch(self, first, last):
        spans = self.run()
        taken = last - first + 1
        check(
            [
                (
                    s["name"],
                    s["kind"],
                    s["parent_span_id"],
                    s["status"]["code"],
                    s["attributes"],
                )
                for s in spans
            ],
            [("process jobs", "consumer", "", "unset", ATTRIBUTES | {COUNT: taken})],
            f"{self.name}: {taken} jobs make one consumer span, the root of a trace",
        )
        links = {(link["trace_id"], link["span_id"]) for span in spans for link in span["links"]}
        check(
            links,
            set(self.sql(CONTEXTS, (first, last))),
            f"{self.name}: it is linked to every row with a context",
        )
        check(
            self.sql("SELECT count(*) FROM jobs WHERE status = 'done'"),
            [(last,)],
            f"{self.name}: they are done",
        )

    def failure(self):
        """The work of 100 jobs fails; the next run takes them again."""
        self.sql(BREAK)
        spans = self.run(fails=True)
        links = {(link["trace_id"], link["span_id"]) for span in spans for link in span["links"]}
        if self.way == "recorded":
            check(spans, [], f"{self.name}: jobs that failed have no span")
            self.sql("UPDATE jobs SET status = 'queued' WHERE status = 'running'")
        else:
            check(
                ([s["status"]["code"] for s in spans], links),
                (["error"], set(self.sql(CONTEXTS, (1, 100)))),
                f"{self.name}: a batch that failed has the status Error and all its links",
            )
        check(
            self.sql("SELECT count(*) FROM jobs WHERE status = 'queued'"),
            [(120,)],
            f"{self.name}: they are queued again",
        )
        self.sql("DROP TRIGGER refuse ON jobs")

    def test(self):
        self.sql(blocks(ROOT / "docs" / "workers.md")["setup.sql"])
        self.sql(INSERT)
        self.failure()
        self.batch(1, 100)
        self.batch(101, 120)
        check(self.run(), [], f"{self.name}: an empty run makes no span")


def main():
    folder = pathlib.Path(sys.argv[1])
    for language in sys.argv[2:]:
        for way in ("sql", "sdk", "recorded"):
            database = f"worker_{language}_{way}"
            with (
                psycopg.connect(dbname="postgres", autocommit=True) as server,
                Receiver() as receiver,
            ):
                server.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
                server.execute(f"CREATE DATABASE {database}")
                server.execute("LOAD 'otel_links'")
                server.execute(
                    f"ALTER DATABASE {database} SET otel.exporter_otlp_endpoint = '{receiver.url}'"
                )
                with psycopg.connect(dbname=database, autocommit=True) as connection:
                    connection.execute("CREATE EXTENSION otel_links")
                Worker(language, way, folder, receiver, database).test()
                server.execute(f"DROP DATABASE {database} WITH (FORCE)")
    print(f"1..{count}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
