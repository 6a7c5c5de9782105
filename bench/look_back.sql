-- The cost of looking back: of otel.find_trace() over a million rows without and with its index, of
-- that index, and of otel.linked_from() over 100,000 kept spans, with and without `since`.
--
--     scripts/bench look_back
--
-- Numbers are this process's CPU time in the best of some rounds, without parallel workers.
\set QUIET on
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS otel_links;
SET max_parallel_workers_per_gather = 0;
SET max_parallel_maintenance_workers = 0;
SET jit = off;

CREATE TABLE result (n int GENERATED ALWAYS AS IDENTITY, what text, ms float8, bytes float8);

-- of this process, in ms
CREATE FUNCTION cpu_time() RETURNS float8 LANGUAGE sql AS $$
    SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::float8 / 1e6
$$;

CREATE PROCEDURE measure(what text, statement text, rounds int, per float8 DEFAULT 1,
                         bytes float8 DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
    began  float8;
    best   float8 := 'infinity';
BEGIN
    FOR i IN 1 .. rounds LOOP
        began := cpu_time();
        EXECUTE statement;
        best := least(best, cpu_time() - began);
        COMMIT;
    END LOOP;
    INSERT INTO result (what, ms, bytes) VALUES (what, best / per, bytes);
END $$;

CREATE TABLE jobs (id int, status text, created_at timestamptz, trace_context otel.trace_context);
INSERT INTO jobs
SELECT i, 'pending', now(), otel.from_ids(md5('t' || i), left(md5('s' || i), 16), 1)
  FROM generate_series(1, 1000000) AS i;
VACUUM ANALYZE jobs;
CALL measure('find_trace, a million rows, no index',
             $$SELECT * FROM otel.find_trace(md5('t777777'))$$, 3);
CREATE INDEX by_trace ON jobs USING hash (otel.trace_id(trace_context));
ANALYZE jobs;
CALL measure('the same with the index, of 100 calls each',
             $$SELECT otel.find_trace(md5('t' || 7 * i)) FROM generate_series(1, 100) i$$, 3, 100);
CALL measure('the look-up alone, of 1,000',
             $$SELECT (SELECT id FROM jobs WHERE otel.trace_id(trace_context) = md5('t' || 7 * i))
                 FROM generate_series(1, 1000) AS i$$, 3, 1000);
SELECT pg_relation_size('by_trace') / 1e6 AS bytes \gset
CREATE TABLE plain (LIKE jobs);
CREATE TABLE indexed (LIKE jobs);
CREATE INDEX ON indexed USING hash (otel.trace_id(trace_context));
CALL measure('INSERT without the index, a row',
             'INSERT INTO plain SELECT * FROM jobs LIMIT 200000', 3, 200000);
CALL measure('INSERT with the index, a row',
             'INSERT INTO indexed SELECT * FROM jobs LIMIT 200000', 3, 200000, :bytes);

-- 100,000 kept spans: of every ten, one is a batch with 128 links
SET otel.traces_exporter = none;
BEGIN;
SELECT count(otel.record_span('jobs', now(), root => true, links => CASE i % 10 WHEN 0 THEN (
           SELECT otel.link_agg(otel.from_ids(md5(i || 't' || j), left(md5(i || 's' || j), 16), 1),
                                jsonb_build_object('job.id', j))
             FROM generate_series(1, 128) AS j) END))
  FROM generate_series(1, 100000) AS i \g /dev/null
COMMIT;
INSERT INTO otel.exported_spans SELECT q.*, now() FROM otel.span_queue AS q;
TRUNCATE otel.span_queue;
VACUUM ANALYZE otel.exported_spans;
CALL measure('linked_from, 100,000 spans, 10,000 of them with 128 links',
             $$SELECT * FROM otel.linked_from(md5('777t5'))$$, 3);
CALL measure('the same, all of them before since',
             $$SELECT * FROM otel.linked_from(md5('777t5'), now())$$, 3);
CALL measure('mermaid of a batch of 128 links',
             $$SELECT otel.mermaid(context, 128) FROM otel.linked_from(md5('770t5'))$$, 3);

SELECT what, CASE WHEN ms < 0.05 THEN round((ms * 1000)::numeric, 2) || ' µs'
                  ELSE round(ms::numeric, 2) || ' ms' END AS cpu, bytes AS "bytes a row"
  FROM result ORDER BY n;

DROP TABLE jobs, plain, indexed, result;
DROP PROCEDURE measure;
DROP FUNCTION cpu_time;
TRUNCATE otel.exported_spans;
