-- A million distinct contexts fit into 150 MB, the array that comes out included.  Linux tells the
-- most memory that this session's process has had.
\set QUIET on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS otel_links;

CREATE FUNCTION peak_memory_mb() RETURNS numeric LANGUAGE sql AS $$
    SELECT round(substring(pg_read_file('/proc/self/status')
        FROM 'VmHWM:\s+(\d+) kB')::numeric / 1024)
$$;
-- by a target list, not FROM generate_series(): no tuplestore shall count
CREATE VIEW million AS
SELECT otel.from_ids(md5(i::text), lpad(to_hex(i), 16, '0'), 1) AS trace_context
    FROM (SELECT generate_series(1, 1000000) AS i) AS s;

SET max_parallel_workers_per_gather = 0;
SELECT cardinality(otel.link_agg(trace_context)) AS loaded
    FROM (SELECT * FROM million LIMIT 10) AS m \gset
SELECT peak_memory_mb() AS before \gset
SELECT cardinality(otel.link_agg(trace_context)) AS links FROM million \gset
SELECT peak_memory_mb() - :before AS used \gset

SELECT plan(3);
SELECT is(:links, 1000000, 'a million distinct contexts are a million links');
SELECT cmp_ok(:used, '<', 150, 'they need less than 150 MB (' || :used || ')');
SELECT cmp_ok(:used, '>', 54, 'the measurement counts the links: the array alone has 54 MB');
SELECT * FROM finish();
