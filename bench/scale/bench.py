#!/usr/bin/env python3
"""Which part of a queue with traces reaches its limit first; bench/scale/run says how to call it.

First, the capacity of each part alone on this machine: capture, claiming and linking, and export to
a collector that answers after 0, 5, 20 and 50 ms. A table then says, for three loads, which part is
the first that cannot do what the busiest hour needs. At last, a day of the first load runs at 1/100
of its rate, in less than a minute, with an outage of the collector in the busiest hour: nothing may
be lost.
"""

import math
import pathlib
import sys
import threading
import time

import psycopg

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from common import pgbench, set_system, slow_collector, value  # noqa: E402

DELAYS_MS = (0, 5, 20, 50)
BATCH = 100
ROWS_A_DAY = 1_000_000_000
PEAK = 2.5  # the busiest hour's rate, as a multiple of the day's average
SCALE = 100
OUTAGE_S = 3  # five minutes at 1/100

SCHEMA = """
CREATE EXTENSION otel_links;
CREATE TABLE jobs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload text);
SELECT otel.add_trace_context('jobs');
CREATE PROCEDURE work_until_empty(most int, batch int) LANGUAGE plpgsql AS $$
DECLARE
    links otel.span_link[];
BEGIN
    FOR i IN 1 .. most LOOP
        WITH claimed AS (
            DELETE FROM jobs WHERE id = ANY (ARRAY(
                SELECT id FROM jobs ORDER BY id LIMIT batch FOR UPDATE SKIP LOCKED))
            RETURNING trace_context)
        SELECT otel.link_agg(trace_context) INTO links FROM claimed;
        EXIT WHEN links IS NULL;
        PERFORM otel.start_span('process jobs', links, 'consumer', root => true);
        PERFORM otel.end_span();
        COMMIT;
    END LOOP;
END $$;
CREATE FUNCTION fill(n bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO jobs (payload, trace_context)
    SELECT 'make a report', otel.from_ids(md5(random()::text), left(md5(random()::text), 16), 1)
      FROM generate_series(1, n)
$$;
"""

INSERT = (
    "\\set r random(1, 9000000000000000)\n"
    "INSERT INTO jobs (payload) VALUES ('make a report') "
    "/*traceparent='00-4bf92f3577b34da6:r-00f067aa0ba902b7-01'*/;\n"
)


def wal_during(connection, work):
    before = value(connection, "SELECT pg_current_wal_insert_lsn()")
    work()
    return float(value(connection, "SELECT pg_current_wal_insert_lsn() - %s::pg_lsn", before))


def capture_capacity(connection, seconds):
    """Rows a second that four sessions insert, one in each transaction, and the WAL of a row."""
    script = INSERT.replace(":r", "a3ce929d0e0e4736")
    connection.execute("TRUNCATE jobs")
    rates = []
    wal = wal_during(connection, lambda: rates.append(pgbench(script, seconds)))
    return rates[0], wal / value(connection, "SELECT count(*) FROM jobs")


def link_capacity(connection, seconds):
    """Batches of 100 rows a second that one runner processes; WAL and queue bytes of a span."""
    batches = max(int(400 * seconds), 50)
    connection.execute("TRUNCATE jobs, otel.span_queue")
    connection.execute("SELECT fill(%s)", (batches * BATCH,))
    connection.execute("VACUUM ANALYZE jobs")
    start = time.monotonic()
    wal = wal_during(
        connection, lambda: connection.execute("CALL work_until_empty(%s, %s)", (batches, BATCH))
    )
    seconds = time.monotonic() - start
    rows, size = connection.execute(
        "SELECT count(*), pg_total_relation_size('otel.span_queue') FROM otel.span_queue"
    ).fetchone()
    return rows / seconds, wal / rows, size / rows


def queue_spans(connection, spans, links):
    connection.execute(f"""
        SELECT count(otel.record_span('process jobs', now(), links => links, kind => 'consumer',
                                      root => true))
          FROM generate_series(1, {spans}),
               (SELECT otel.link_agg(otel.from_ids(md5(i::text), left(md5((-i)::text), 16), 1))
                       AS links
                  FROM generate_series(1, {links}) i) l""")


def export_capacity(connection, delay_ms, links, spans):
    """Spans a second from the queue to a collector that answers after delay_ms."""
    with slow_collector(delay_ms) as url:
        set_system(connection, exporter_otlp_endpoint=url, traces_exporter="otlp")
        queue_spans(connection, 1, links)
        connection.execute("SELECT otel.force_flush()")
        set_system(connection, traces_exporter="none")
        connection.execute("VACUUM otel.span_queue")
        queue_spans(connection, spans, links)
        start = time.monotonic()
        set_system(connection, traces_exporter="otlp")
        connection.execute("SELECT otel.force_flush(600000)")
        seconds = time.monotonic() - start
        left = connection.execute(
            "SELECT pending, failed, dropped, last_error FROM otel.export_status"
        ).fetchone()
        if any(left[:3]):
            raise SystemExit(f"pending, failed, dropped, last error: {left}")
        set_system(connection, traces_exporter="none")
    return spans / seconds


def shape(hour):
    """The share of an hour in the day: a quiet night, the busiest at three in the afternoon."""
    return max(0.1, 1 + (PEAK - 1) * math.cos((hour - 15) / 24 * 2 * math.pi))


def day(connection, seconds):
    """A day of a billion rows at 1/100 of its rate, with an outage at 15 o'clock."""
    hour = seconds / 24
    rate = ROWS_A_DAY / 86_400 / SCALE
    stop = threading.Event()
    inserted = [0]

    def insert():
        with psycopg.connect(autocommit=True) as session:
            for number in range(24):
                end = time.monotonic() + hour
                rows = max(1, int(rate * shape(number) * 0.1))
                while time.monotonic() < end:
                    began = time.monotonic()
                    session.execute("SELECT fill(%s)", (rows,))
                    inserted[0] += rows
                    time.sleep(max(0, 0.1 - (time.monotonic() - began)))

    def work():
        with psycopg.connect(autocommit=True) as session:
            while not stop.wait(0.2):
                session.execute("CALL work_until_empty(100000, %s)", (BATCH,))

    connection.execute("TRUNCATE jobs, otel.span_queue")
    exported = value(connection, "SELECT exported FROM otel.export_status")
    most = {"waiting": 0, "bytes": 0, "age": 0.0}
    with slow_collector(20) as url:
        set_system(
            connection,
            exporter_otlp_endpoint=url,
            traces_exporter="otlp",
            bsp_schedule_delay="50ms",
        )
        inserter, worker = threading.Thread(target=insert), threading.Thread(target=work)
        before = value(connection, "SELECT pg_current_wal_insert_lsn()")
        start = time.monotonic()
        inserter.start()
        worker.start()
        outage = False
        while inserter.is_alive():
            time.sleep(0.2)
            at = time.monotonic() - start
            down = 15 * hour <= at < 15 * hour + OUTAGE_S
            if down != outage:
                outage = down
                set_system(connection, exporter_otlp_endpoint="http://127.0.0.1:9" if down else url)
            waiting, size, age = connection.execute(
                "SELECT pending, queue_bytes, coalesce(extract(epoch FROM oldest_age), 0)::float8 "
                "FROM otel.export_status"
            ).fetchone()
            most = {
                "waiting": max(most["waiting"], waiting),
                "bytes": max(most["bytes"], size),
                "age": max(most["age"], age),
            }
        inserter.join()
        time.sleep(0.5)
        stop.set()
        worker.join()
        connection.execute("SELECT otel.force_flush(60000)")
        wal = float(value(connection, "SELECT pg_current_wal_insert_lsn() - %s::pg_lsn", before))
        status = connection.execute(
            "SELECT exported, pending, failed, dropped FROM otel.export_status"
        ).fetchone()
        set_system(connection, traces_exporter="none")
    left = value(connection, "SELECT count(*) FROM jobs")
    print(
        f"\na day at 1/{SCALE} of a billion rows, {seconds} s, collector 20 ms away, an outage of "
        f"{OUTAGE_S} s: {inserted[0]:,} rows, {status[0] - exported:,} batch spans exported, "
        f"{left} rows left, {status[1]} pending, {status[2]} failed, {status[3]} dropped"
    )
    print(
        f"at most {most['waiting']:,} spans ({most['bytes'] / 1e6:,.1f} MB) waited, the oldest "
        f"{most['age']:.1f} s; {wal / inserted[0]:,.0f} bytes of WAL a row, everything included"
    )


def main():
    seconds, day_seconds = float(sys.argv[1]), float(sys.argv[2])
    with psycopg.connect(autocommit=True) as connection:
        connection.execute(SCHEMA)
        set_system(
            connection,
            exporter_idle_timeout="1h",
            bsp_schedule_delay="10ms",
            queue_max_size="100GB",
        )
        rows, row_wal = capture_capacity(connection, seconds)
        batches, span_wal, span_bytes = link_capacity(connection, seconds)
        print(
            f"capture: {rows:,.0f} rows/s in transactions of their own, four sessions; "
            f"{row_wal:,.0f} bytes of WAL a row"
        )
        print(
            f"claim and link: {batches:,.0f} batches of {BATCH} rows/s; {span_wal:,.0f} "
            f"bytes of WAL a batch (its rows' deletion included), {span_bytes:,.0f} bytes of the "
            "queue a span"
        )
        export = {}
        print(f"\n{'export, spans/s':30}" + "".join(f"{delay:>9} ms" for delay in DELAYS_MS))
        for links, spans in ((0, 60_000), (BATCH, 6_000)):
            export[links] = [
                export_capacity(connection, delay, links, int(spans * seconds))
                for delay in DELAYS_MS
            ]
            print(
                f"{f'{links} links a span':30}"
                + "".join(f"{rate:12,.0f}" for rate in export[links])
            )

        peak_rows = ROWS_A_DAY / 86_400 * PEAK
        loads = (
            ("a billion rows a day, batches of 100", peak_rows, peak_rows / BATCH, BATCH),
            ("a billion rows a day, a span a row", peak_rows, peak_rows, 0),
            ("100,000 spans a second", 0, 100_000, 0),
        )
        print(
            f"\nfirst ceiling in the busiest hour, {PEAK} times the average "
            "(capacity / need; below 1 it does not hold)"
        )
        for name, need_rows, need_spans, links in loads:
            ratios = {
                f"export at {delay} ms": rate / need_spans
                for delay, rate in zip(DELAYS_MS, export[links])
            }
            if need_rows:
                ratios["capture, this machine"] = rows / need_rows
            if links:
                ratios["one job runner"] = batches / need_spans
            by_ratio = sorted(ratios.items(), key=lambda item: item[1])
            print(
                f"  {name}: need {need_rows:,.0f} rows/s, {need_spans:,.0f} spans/s; "
                + ", ".join(f"{part} {ratio:.2f}" for part, ratio in by_ratio)
            )
        day(connection, day_seconds)


main()
