-- The cost of recording an item's wait: the job's CPU time, with a share of the commit, and the
-- bytes in the queue.
--
--     scripts/bench waits
--     scripts/cluster -c otel.traces_exporter=none psql -X -v rounds=9 -f bench/waits.sql
--
-- otel.record_wait() is compared with a call of otel.record_span() that makes the same span.  From
-- both, a SELECT is subtracted that reads the same columns and records nothing.  A transaction of n
-- items is repeated, because the process's CPU time is counted in steps of some milliseconds.  The
-- ways take turns, and the best round counts.
--
-- Goal: at most 1.5 µs and 200 bytes an item.
\set QUIET on
\if :{?rounds}
\else
    \set rounds 15
\endif
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS otel_links;
SET synchronous_commit = off;
SET otel.traces_exporter = none;
SET jit = off;

CREATE TABLE items (trace_context otel.trace_context, created_at timestamptz);
CREATE TABLE result (items int, how text, best float8 DEFAULT 'infinity', bytes int);

-- of this process, in µs
CREATE FUNCTION cpu_time() RETURNS float8 LANGUAGE sql AS $$
    SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::float8 / 1000
$$;

CREATE PROCEDURE run(how text) LANGUAGE plpgsql AS $$
DECLARE
    batch otel.trace_context := otel.start_span('process report batch', kind => 'consumer',
                                                root => true);
BEGIN
    IF how = 'nothing' THEN
        PERFORM otel.is_sampled(trace_context) AND created_at < now() FROM items;
    ELSIF how = 'record_wait' THEN
        PERFORM otel.record_wait(trace_context, created_at) FROM items;
    ELSE
        PERFORM otel.record_span('wait process report batch', created_at,
                                 links => ARRAY[otel.span_link(batch)], kind => 'consumer',
                                 parent => trace_context)
        FROM items;
    END IF;
    PERFORM otel.end_span();
    COMMIT;
END $$;

CREATE PROCEDURE race(n int, repeats int, rounds int) LANGUAGE plpgsql AS $$
DECLARE
    began float8;
    took  float8;
    way   text;
    before int8;
BEGIN
    TRUNCATE items, otel.span_queue;
    INSERT INTO items
    SELECT otel.from_ids(md5('t' || i), left(md5('s' || i), 16), 1), now() - interval '1 minute'
      FROM generate_series(1, n) i;
    INSERT INTO result (items, how) VALUES (n, 'nothing'), (n, 'record_wait'), (n, 'record_span');
    COMMIT;
    FOR turn IN 1 .. rounds LOOP
        FOREACH way IN ARRAY ARRAY['nothing', 'record_wait', 'record_span'] LOOP
            before := pg_table_size('otel.span_queue');
            began := cpu_time();
            FOR i IN 1 .. repeats LOOP
                CALL run(way);
            END LOOP;
            took := (cpu_time() - began) / repeats;
            UPDATE result SET best = least(best, took),
                              bytes = (pg_table_size('otel.span_queue') - before) / repeats
             WHERE items = n AND how = way;
            COMMIT;
        END LOOP;
    END LOOP;
END $$;

CALL race(100, 200, :rounds);
CALL race(10000, 2, :rounds);

SELECT w.items, w.how, round(((w.best - n.best) / items)::numeric, 2) AS "µs an item",
       (w.bytes - n.bytes) / items AS "bytes an item"
  FROM result w JOIN result n USING (items)
 WHERE w.how <> 'nothing' AND n.how = 'nothing' ORDER BY items, how;

DROP TABLE items, result;
DROP PROCEDURE race, run;
DROP FUNCTION cpu_time;
