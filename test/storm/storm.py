"""A storm: sessions run random transactions on a publisher while they are cancelled and terminated.

    storm.py --publisher CONNINFO --subscriber CONNINFO --receiver DIR --seed N [--seconds N]
             [--sessions N] [--pace N] [--prepare-transactions]

Both servers have test/storm/schema.sql, a subscription between them and exporters that send to the
receiver whose files are in DIR.  When the time is over and both sides are at rest it prints a JSON
object: how many transactions, rows and spans there were, what failed by SQLSTATE, what the
exporters counted, and under "against" a list for each check of verdict.py, empty when all is well.
"""

import argparse
import json
import random
import sys
import threading
import time

import psycopg

import verdict
from journal import COMMITTED, ROLLED_BACK
from session import Session

AT_REST_SECONDS = 600


class Disturbance(threading.Thread):
    """Does something to the servers at random moments.  act(random) is called again and again, with
    pauses of at most that many seconds; errors are part of the storm."""

    def __init__(self, name, options, until, pause, act):
        super().__init__(name=name, daemon=True)
        self.random = random.Random(f"{options.seed}/{name}")
        self.until = until
        self.pause = pause * options.pace
        self.act = act
        self.failure = None

    def run(self):
        try:
            while time.monotonic() < self.until:
                time.sleep(self.random.random() * self.pause)
                try:
                    self.act(self.random)
                except psycopg.Error:
                    pass
        except Exception as error:
            self.failure = error


class Storm:
    def __init__(self, options):
        self.options = options
        self.until = time.monotonic() + options.seconds
        self.exporters_ended = 0
        self.connections = {}
        self.sessions = [
            Session(number, options.seed, options.publisher, self.until,
                    options.prepare_transactions)
            for number in range(1, options.sessions + 1)]
        self.disturbances = [
            Disturbance("signals", options, self.until, 0.01, self.signal),
            Disturbance("janitor", options, self.until, 0.5, self.end_prepared),
            Disturbance("replication", options, self.until, 0.5, self.end_apply_workers),
            Disturbance("servers", options, self.until, 1.0, self.disturb_servers),
            Disturbance("collector", options, self.until, 2.0, self.disturb_collector)]

    def run_sql(self, server, sql, parameters=None):
        """In a connection of the calling thread's own."""
        key = threading.current_thread().name, server
        connection = self.connections.get(key)
        if connection is None or connection.closed:
            # a prepared transaction may hold the locks that LOCK TABLE and VACUUM FULL need
            connection = psycopg.connect(getattr(self.options, server), autocommit=True,
                                         options="-c lock_timeout=300ms")
            self.connections[key] = connection
        cursor = connection.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []

    # ---- what disturbs ----

    def signal(self, rng):
        """A cancel or, now and then, the end of a session."""
        pids = [session.pid for session in self.sessions if session.pid]
        if pids:
            function = "pg_cancel_backend" if rng.random() < 0.9 else "pg_terminate_backend"
            self.run_sql("publisher", f"SELECT {function}(%s)", (rng.choice(pids),))

    def end_prepared(self, rng):
        """Ends prepared transactions whose session could not end them."""
        for (gid,) in self.run_sql("publisher", "SELECT gid FROM pg_prepared_xacts"
                                   " WHERE prepared < clock_timestamp() - interval '1 s'"):
            self.run_sql("publisher", f"{rng.choice(['COMMIT', 'ROLLBACK'])} PREPARED '{gid}'")

    def end_apply_workers(self, rng):
        self.run_sql("subscriber", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                     " WHERE backend_type LIKE 'logical replication %'"
                     " AND backend_type NOT LIKE '%launcher'")

    def disturb_servers(self, rng):
        self.run_sql(*rng.choice([
            ("publisher", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                          " WHERE backend_type = 'walsender'"),
            ("subscriber", "DO $$ BEGIN LOCK TABLE otel.span_queue IN SHARE MODE;"
                           " PERFORM pg_sleep(0.1); END $$"),
            ("publisher", "DO $$ BEGIN LOCK TABLE otel.span_queue IN SHARE MODE;"
                          " PERFORM pg_sleep(0.1); END $$"),
            ("publisher", "VACUUM otel.span_queue"),
            ("publisher", "VACUUM FULL otel.span_queue"),
            ("publisher", "SELECT pg_reload_conf()"),
            ("publisher", "ANALYZE"),
            self.end_exporter(rng.choice(["publisher", "subscriber"]))]))

    def end_exporter(self, server):
        self.exporters_ended += 1
        return server, ("SELECT pg_terminate_backend(exporter_pid) FROM otel.export_status"
                        " WHERE exporter_running")

    def disturb_collector(self, rng):
        answer = rng.choice([{"status": 503}, {"drop": True}, {"delay": 0.2},
                             {"status": 429, "headers": {"Retry-After": "1"}}])
        with open(f"{self.options.receiver}/answers", "w", encoding="utf-8") as file:
            file.write(json.dumps(answer) + "\n")

    # ---- the course of it ----

    def run(self):
        threads = self.sessions + self.disturbances
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for thread in threads:
            if thread.failure:
                raise thread.failure
        for (gid,) in self.run_sql("publisher", "SELECT gid FROM pg_prepared_xacts"):
            self.run_sql("publisher", f"COMMIT PREPARED '{gid}'")
        open(f"{self.options.receiver}/answers", "w", encoding="utf-8").close()

    def wait_until_at_rest(self):
        """The subscriber has applied everything, and both exporters have sent everything."""
        end = time.monotonic() + AT_REST_SECONDS
        ((position,),) = self.run_sql("publisher", "SELECT pg_current_wal_lsn()")
        self.wait("publisher", end, "SELECT count(*) > 0 AND bool_and(confirmed_flush_lsn >= %s)"
                  " FROM pg_replication_slots WHERE slot_type = 'logical'", (position,))
        for server in "publisher", "subscriber":
            self.wait(server, end, "SELECT count(*) = 0 FROM pg_stat_activity"
                      " WHERE application_name LIKE 'session %'")
            # the next transaction of each has its own spans to queue; then wait for the exporter
            self.run_sql(server, "SELECT otel.record_span('at rest', clock_timestamp())")
            while not self.wait(server, min(end, time.monotonic() + 1),
                                "SELECT pending = 0 FROM otel.export_status"):
                self.run_sql(server, "SELECT otel.force_flush(100)")
                if time.monotonic() > end:
                    raise SystemExit(f"spans wait for ever on the {server}")

    def wait(self, server, end, condition, parameters=None):
        while time.monotonic() < end:
            if self.run_sql(server, condition, parameters)[0][0]:
                return True
            time.sleep(0.05)
        return False

    def report(self):
        rows = "SELECT id, expected, context::text FROM work"
        published = {id: rest for id, *rest in self.run_sql("publisher", rows)}
        replicated = {id: rest for id, *rest in self.run_sql("subscriber", rows)}
        hot = self.run_sql("publisher",
                           "SELECT id, n, expected, context::text FROM hot ORDER BY id")
        parts = [part for session in self.sessions for part in session.parts]
        spans = verdict.Spans(f"{self.options.receiver}/spans")
        against = verdict.judge(parts, published, replicated, hot, spans)
        errors = {}
        for session in self.sessions:
            for state, count in session.errors.items():
                errors[state] = errors.get(state, 0) + count
        return {
            "committed": sum(part.outcome == COMMITTED for part in parts),
            "rolled back": sum(part.outcome == ROLLED_BACK for part in parts),
            "rows": len(published),
            "spans": sum(map(len, spans.by_name.values())),
            "duplicates": spans.duplicates,
            "exporters ended": self.exporters_ended,
            "errors": dict(sorted(errors.items())),
            "lost and counted": {server: int(self.run_sql(
                server, "SELECT dropped + failed + rejected FROM otel.export_status")[0][0])
                for server in ("publisher", "subscriber")},
            "against": against}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--publisher", required=True)
    parser.add_argument("--subscriber", required=True)
    parser.add_argument("--receiver", required=True)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--sessions", type=int, default=16)
    parser.add_argument("--pace", type=float, default=1)
    parser.add_argument("--prepare-transactions", action="store_true")
    storm = Storm(parser.parse_args())
    storm.run()
    storm.wait_until_at_rest()
    json.dump(storm.report(), sys.stdout, indent=1)


if __name__ == "__main__":
    main()
