-- The cost of otel.trace_context, beside the built-in types uuid and text.
--
--     scripts/cluster psql -X -f bench/type.sql           1,000,000 values
--     scripts/cluster psql -X -v rows=100000 -f bench/type.sql
--
-- A context has 25 bytes, a uuid 16: "per byte" is the ratio of their times, each divided by its
-- bytes.  The types take turns seven times, and the best time of each counts, so that other
-- processes disturb all alike.  The time of a mere scan is subtracted where a table is scanned.
-- Needs a superuser, because COPY writes a file beside the data.
\set QUIET on
\if :{?rows}
\else
    \set rows 1000000
\endif
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS otel_links;
SET temp_buffers = '1GB';
SET jit = off;
SET max_parallel_workers_per_gather = 0;
SET max_parallel_maintenance_workers = 0;
SET maintenance_work_mem = '1GB';
SET search_path = pg_temp, otel, pg_catalog, public;

CREATE TEMPORARY TABLE contexts AS
SELECT from_ids(md5(i::text), right(md5((-i)::text), 16), 1) AS v FROM generate_series(1, :rows) i;
CREATE TEMPORARY TABLE uuids AS SELECT md5(i::text)::uuid AS v FROM generate_series(1, :rows) i;
CREATE TEMPORARY TABLE context_texts AS SELECT v::text FROM contexts;
CREATE TEMPORARY TABLE context_texts_c AS SELECT v::text COLLATE "C" FROM contexts;
CREATE TEMPORARY TABLE uuid_texts AS SELECT v::text FROM uuids;
CREATE TEMPORARY TABLE copied_contexts (v trace_context);
CREATE TEMPORARY TABLE copied_uuids (v uuid);
ANALYZE contexts, uuids, context_texts, context_texts_c, uuid_texts;

-- The best time of each statement, in milliseconds.  Before each execution, the preparation runs
-- untimed.
CREATE FUNCTION pg_temp.race(preparation text, VARIADIC statements text[]) RETURNS float8[]
LANGUAGE plpgsql AS $$
DECLARE
    best float8[] := array_fill('infinity'::float8, ARRAY[cardinality(statements)]);
    began timestamptz;
BEGIN
    FOR turn IN 1 .. 7 LOOP
        FOR i IN 1 .. cardinality(statements) LOOP
            EXECUTE preparation;
            began := clock_timestamp();
            EXECUTE statements[i];
            best[i] := least(best[i], extract(epoch FROM clock_timestamp() - began) * 1000);
        END LOOP;
    END LOOP;
    RETURN best;
END $$;

-- Nanoseconds a value that one expression takes over one table, and another over another.
CREATE FUNCTION pg_temp.per_value(expression text, table_name text, other text, other_table text,
                                  rows int,
                                  OUT context numeric, OUT uuid numeric) LANGUAGE plpgsql AS $$
DECLARE
    best float8[] := pg_temp.race('SELECT 1',
        format('SELECT count(%s) FROM %s', expression, table_name),
        format('SELECT count(v) FROM %s', table_name),
        format('SELECT count(%s) FROM %s', other, other_table),
        format('SELECT count(v) FROM %s', other_table));
BEGIN
    context := (best[1] - best[2]) * 1e6 / rows;
    uuid := (best[3] - best[4]) * 1e6 / rows;
END $$;

\echo one value, nanoseconds
SELECT what, round(context, 1) AS context, round(uuid, 1) AS uuid,
       round(context / nullif(uuid, 0), 2) AS ratio,
       round(context / nullif(uuid, 0) * 16 / 25, 2) AS "per byte"
  FROM (VALUES
       ('text input', 'v::trace_context', 'context_texts', 'v::uuid', 'uuid_texts'),
       ('text output', 'v::text', 'contexts', 'v::text', 'uuids'),
       ('binary output', 'trace_context_send(v)', 'contexts', 'uuid_send(v)', 'uuids'),
       ('comparison', $$v < '00-80000000000000000000000000000000-8000000000000000-01'$$, 'contexts',
                      $$v < '80000000-0000-0000-0000-000000000000'$$, 'uuids')
       ) compared(what, expression, table_name, other, other_table),
       pg_temp.per_value(expression, table_name, other, other_table, :rows);

\echo COPY FROM in binary (binary input and what is common to both), nanoseconds a row
SELECT format('%s/otel_links_bench', current_setting('data_directory')) AS file \gset
SELECT format('COPY contexts TO %L (FORMAT binary)', :'file' || '.contexts'),
       format('COPY uuids TO %L (FORMAT binary)', :'file' || '.uuids') \gexec
SELECT round(context, 1) AS context, round(uuid, 1) AS uuid, round(context / uuid, 2) AS ratio,
       round(context / uuid * 16 / 25, 2) AS "per byte"
  FROM pg_temp.race('TRUNCATE copied_contexts, copied_uuids',
           format('COPY copied_contexts FROM %L (FORMAT binary)', :'file' || '.contexts'),
           format('COPY copied_uuids FROM %L (FORMAT binary)', :'file' || '.uuids')) best,
       LATERAL (SELECT (best[1] * 1e6 / :rows)::numeric AS context,
                       (best[2] * 1e6 / :rows)::numeric AS uuid) a_row;
SELECT format('COPY (SELECT) TO PROGRAM %L', format('rm -f %s.contexts %1$s.uuids', :'file')) \gexec

\echo index builds, milliseconds (text in the collation of the database, and in C)
SELECT method, round(best[1]) AS context, round(best[2]) AS text, round(best[3]) AS "text (C)",
       round(best[4]) AS uuid,
       round((best[2] / best[1])::numeric, 2) AS "text / context",
       round((best[3] / best[1])::numeric, 2) AS "text (C) / context"
  FROM unnest(ARRAY['btree', 'hash']) method,
       pg_temp.race('DROP INDEX IF EXISTS bench',
           format('CREATE INDEX bench ON contexts USING %s (v)', method),
           format('CREATE INDEX bench ON context_texts USING %s (v)', method),
           format('CREATE INDEX bench ON context_texts_c USING %s (v)', method),
           format('CREATE INDEX bench ON uuids USING %s (v)', method)) best;

\echo bytes
SELECT pg_column_size(v) AS "a context in a row",
       (SELECT pg_column_size(v) FROM context_texts LIMIT 1) AS "its text",
       pg_column_size(inject(v)) AS "its carrier",
       pg_table_size('contexts') / :rows AS "a row of a table",
       pg_table_size('context_texts') / :rows AS "of text"
  FROM contexts LIMIT 1;
