-- Looking back: otel.find_trace(), otel.linked_from() and otel.mermaid(): where a trace is in this
-- database, what links to it, and with whose rights that is answered.
\set QUIET on
SELECT format('ALTER DATABASE %I SET otel.traces_exporter = none', current_database()) \gexec
\c
SET client_min_messages = warning;
\set ON_ERROR_STOP off
SELECT plan(68);

-- trace and context number n
CREATE FUNCTION trace(n int) RETURNS text LANGUAGE sql IMMUTABLE RETURN md5('trace ' || n);
CREATE FUNCTION context(n int) RETURNS otel.trace_context LANGUAGE sql IMMUTABLE
    RETURN otel.from_ids(md5('trace ' || n), left(md5('span ' || n), 16), 1);
-- where a trace is found, in order
CREATE FUNCTION places(trace_id text, tables regclass[] DEFAULT NULL) RETURNS text
    LANGUAGE sql STABLE
    RETURN (SELECT string_agg(what || ' ' || place, ', ' ORDER BY what, place)
              FROM otel.find_trace(trace_id, tables => tables));

-- ---- rows: columns of the type ----
CREATE TABLE jobs (id int, payload text, trace_context otel.trace_context,
    processed_by otel.trace_context);
INSERT INTO jobs SELECT i, 'job ' || i, context(i), context(100) FROM generate_series(1, 3) i;
SELECT is(places(trace(1)), 'row public.jobs.trace_context',
    'a row is found by its table and column');
SELECT is(detail - 'trace_context' - 'processed_by', '{"id": 1, "payload": "job 1"}',
    'its detail is the row')
  FROM otel.find_trace(trace(1));
SELECT is(context::text, context(1)::text, 'its context is that of the column')
    FROM otel.find_trace(trace(1));
SELECT is(count(*), 3::bigint, 'all rows of a trace are found') FROM otel.find_trace(trace(100))
    WHERE place = 'public.jobs.processed_by';
SELECT is(places(trace(4)), NULL, 'a trace that is nowhere is not found');
SELECT is(count(*), 0::bigint, 'NULL finds nothing') FROM otel.find_trace(NULL);
CREATE TABLE "Odd ""Table" ("the.context" otel.trace_context);
INSERT INTO "Odd ""Table" VALUES (context(5));
SELECT is(places(trace(5)), 'row public."Odd ""Table"."the.context"',
    'names are quoted where they must be');
CREATE DOMAIN required_context AS otel.trace_context NOT NULL;
CREATE TABLE of_domain (c required_context);
INSERT INTO of_domain VALUES (context(6));
SELECT is(places(trace(6)), 'row public.of_domain.c', 'a column may be of a domain over the type');
CREATE TEMP TABLE of_session (c otel.trace_context);
INSERT INTO of_session VALUES (context(7));
SELECT is(places(trace(7)), 'row of_session.c', 'temporary tables of the session are searched');

CREATE TABLE measured (at int, c otel.trace_context) PARTITION BY RANGE (at);
CREATE TABLE measured_1 PARTITION OF measured FOR VALUES FROM (1) TO (2);
CREATE TABLE measured_2 PARTITION OF measured FOR VALUES FROM (2) TO (3) PARTITION BY RANGE (at);
CREATE TABLE measured_2a PARTITION OF measured_2 FOR VALUES FROM (2) TO (3);
INSERT INTO measured VALUES (1, context(8)), (2, context(8));
SELECT is(places(trace(8)), 'row public.measured_1.c, row public.measured_2a.c',
    'a row of a partition is found once, and named by its partition');
CREATE TABLE parent (c otel.trace_context);
CREATE TABLE child (more int) INHERITS (parent);
INSERT INTO child VALUES (context(9), 1);
SELECT is(places(trace(9)), 'row public.child.c',
    'a row of an inheriting table is found once, and named by its table');
CREATE MATERIALIZED VIEW summary AS SELECT id, trace_context AS c FROM jobs WHERE id = 2;
CREATE MATERIALIZED VIEW not_populated AS SELECT trace_context FROM jobs WITH NO DATA;
SELECT is(places(trace(2)), 'row public.jobs.trace_context, row public.summary.c',
    'materialized views are searched, unless they are not populated');

-- ---- rows: columns that the trigger fills ----
CREATE TABLE carriers (
    id int, trace_context text, v varchar(200), j json, b jsonb, nested jsonb, "größe" jsonb);
CREATE TRIGGER t1 BEFORE INSERT ON carriers FOR EACH ROW
    EXECUTE FUNCTION otel.capture_trace_context();
CREATE TRIGGER t2 BEFORE INSERT ON carriers FOR EACH ROW
    EXECUTE FUNCTION otel.capture_trace_context('v', 'replace');
CREATE TRIGGER t3 BEFORE INSERT ON carriers FOR EACH ROW
    EXECUTE FUNCTION otel.capture_trace_context('j');
CREATE TRIGGER t4 BEFORE INSERT ON carriers FOR EACH ROW
    EXECUTE FUNCTION otel.capture_trace_context('b', 'keep');
CREATE TRIGGER t5 BEFORE INSERT ON carriers FOR EACH ROW
    EXECUTE FUNCTION otel.capture_trace_context('nested', 'keep', '{dbos,"otel context"}');
CREATE TRIGGER t6 BEFORE INSERT ON carriers FOR EACH ROW
    EXECUTE FUNCTION otel.capture_trace_context('größe');
BEGIN;
SELECT otel.set_trace_context(otel.traceparent(context(10)), 'vendor=1') \g /dev/null
INSERT INTO carriers (id, nested) VALUES (1, '{"dbos": {"queue": "q"}}');
COMMIT;
INSERT INTO carriers (id, trace_context, j)
    VALUES (2, 'no context at all, but ' || trace(10), '[1, "x"]');
SELECT is(places(trace(10)),
          'row public.carriers."größe", row public.carriers.b, row public.carriers.j, row '
              'public.carriers.nested, row public.carriers.trace_context, row public.carriers.v',
          'columns of text, varchar, json and jsonb that the trigger fills are searched, by its '
              'path too');
SELECT is(array_agg(DISTINCT context::text ORDER BY context::text),
    ARRAY[context(10)::text, context(10)::text || ';vendor=1'],
          'their contexts are read as otel.extract() reads them') FROM otel.find_trace(trace(10));
SELECT count(*) > 0 AS has_icu FROM pg_collation WHERE collname = 'und-x-icu' \gset
\if :has_icu
CREATE COLLATION any_case (provider = icu, locale = 'und', deterministic = false);
CREATE TABLE collated (trace_context text COLLATE any_case);
CREATE TRIGGER t BEFORE INSERT ON collated FOR EACH ROW
    EXECUTE FUNCTION otel.capture_trace_context();
INSERT INTO collated VALUES (otel.traceparent(context(12)));
SELECT is(places(trace(12)), 'row public.collated.trace_context',
    'a context is found in text whose collation cannot search');
\else
SELECT skip('this server has no ICU', 1);
\endif
CREATE TABLE parts (id int, headers jsonb) PARTITION BY LIST (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
CREATE TRIGGER t BEFORE INSERT ON parts FOR EACH ROW
    EXECUTE FUNCTION otel.capture_trace_context('headers');
INSERT INTO parts VALUES (1, otel.inject(context(11)));
SELECT is(places(trace(11)), 'row public.parts_1.headers',
    'the trigger of a partitioned table counts once');
CREATE TABLE dropped (gone text, stays int);
CREATE TRIGGER t BEFORE INSERT ON dropped FOR EACH ROW
    EXECUTE FUNCTION otel.capture_trace_context('gone');
ALTER TABLE dropped DROP gone;
SELECT is(places(trace(1)), 'row public.jobs.trace_context',
    'a trigger whose column is gone does no harm');
CREATE TRIGGER t BEFORE INSERT ON jobs FOR EACH ROW
    EXECUTE FUNCTION otel.capture_trace_context('trace_context');
SELECT is(places(trace(1)), 'row public.jobs.trace_context',
    'a column of the type is not searched twice for a trigger');

-- ---- tables that are named ----
CREATE VIEW view_of_jobs AS SELECT id, trace_context FROM jobs;
SELECT count(*) > 0 AS has_fdw FROM pg_available_extensions WHERE name = 'postgres_fdw' \gset
\if :has_fdw
CREATE EXTENSION postgres_fdw;
SELECT format(
    'CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host %L, port %L, dbname %L)',
              split_part(current_setting('unix_socket_directories'), ',', 1),
                  current_setting('port'), current_database()) \gexec
SELECT format('CREATE USER MAPPING FOR CURRENT_USER SERVER here OPTIONS (user %L)',
    current_user) \gexec
CREATE FOREIGN TABLE far_jobs (id int,
    trace_context otel.trace_context) SERVER here OPTIONS (table_name 'jobs');
SELECT is(places(trace(1)), 'row public.jobs.trace_context',
    'foreign tables and views are not searched');
SELECT is(places(trace(1), '{far_jobs,view_of_jobs}'),
    'row public.far_jobs.trace_context, row public.view_of_jobs.trace_context',
    'unless they are named');
\else
SELECT skip('this server has no postgres_fdw', 2);
\endif
SELECT is(places(trace(8), '{measured_2}'), 'row public.measured_2a.c',
    'naming tables restricts the search to them');
SELECT is(places(trace(1), '{carriers}'), NULL, 'naming a table restricts the search to it');
CREATE VIEW broken AS SELECT id / 0 AS id, trace_context FROM jobs;
SET client_min_messages = error;
SELECT is(places(trace(1), '{broken,jobs}'), 'row public.jobs.trace_context',
    'a table that cannot be read leaves the others findable');
RESET client_min_messages;

-- ---- spans ----
BEGIN;
SELECT otel.start_span('nightly', root => true) AS nightly \gset
SELECT otel.start_span('batch',
    (SELECT otel.link_agg(trace_context, jsonb_build_object('id', id)) FROM jobs), 'consumer',
    '{"size": 3}') AS batch \gset
SELECT otel.record_wait(trace_context, '2026-01-02 03:04:05Z') FROM jobs \g /dev/null
SELECT otel.end_span('error', 'no paper'), otel.end_span() \g /dev/null
COMMIT;
SELECT is(places(trace(1)), 'linked from queued, row public.jobs.trace_context, span queued',
    'spans of the trace, and spans that link to it, are found');
SELECT is(detail - 'end_time',
    '{"name": "batch", "status": "error", "message": "no paper", "attributes": {"size": 3}, '
        '"link_attributes": [{"id": 1}]}',
          'what a span is about, and the attributes of its links to the trace, are its detail')
  FROM otel.find_trace(trace(1)) WHERE what = 'linked from';
SELECT is(at, '2026-01-02 03:04:05Z'::timestamptz, 'its time is its start')
    FROM otel.find_trace(trace(1)) WHERE what = 'span';
SELECT is(array_agg(detail ->> 'name'), ARRAY['nightly', 'batch'],
    'spans come in order of their start')
  FROM otel.find_trace(otel.trace_id(:'nightly')) WHERE what = 'span';
SELECT is(array_agg(what || ' ' || (detail ->> 'name') ORDER BY what, detail ->> 'name'),
    ARRAY['linked from wait batch', 'linked from wait batch', 'linked from wait batch',
    'span batch', 'span nightly'],
          'the trace of the batch finds the waits of its items')
              FROM otel.find_trace(otel.trace_id(:'nightly'));
SELECT is(places(trace(1), '{}'), 'linked from queued, span queued', 'no tables: spans only');

SELECT is(format('%s %s %s %s %s', name, state, status_code, attributes, context),
    'batch queued 2 {"size": 3} ' || :'batch', 'linked_from finds the batch of an item')
  FROM otel.linked_from(trace(1));
SELECT is(links, ARRAY[otel.span_link(context(2), '{"id": 2}')],
    'linked_from shows the links that lead to the trace') FROM otel.linked_from(trace(2));
SELECT is(count(*), 3::bigint, 'linked_from finds the waits that link to a batch')
    FROM otel.linked_from(otel.trace_id(:'batch'));
SELECT is(count(*), 0::bigint, 'NULL finds nothing') FROM otel.linked_from(NULL);
SELECT is(count(*), 0::bigint, 'a trace without links to it finds nothing')
    FROM otel.linked_from(trace(50));
SELECT is(count(*), 1::bigint, 'a span that ends at since is found')
    FROM otel.linked_from(trace(1), (SELECT end_time FROM otel.span_queue WHERE name = 'batch'));
SELECT is(count(*), 0::bigint, 'one that ended before is not')
    FROM otel.linked_from(trace(1),
    (SELECT end_time + interval '1 microsecond' FROM otel.span_queue WHERE name = 'batch'));
SELECT is(count(*), 0::bigint, 'the same for find_trace')
    FROM otel.find_trace(trace(1), 'infinity') WHERE what <> 'row';

INSERT INTO otel.exported_spans SELECT q.*, now() FROM otel.span_queue q WHERE name = 'batch';
INSERT INTO otel.failed_spans SELECT q.*, now(),
    'refused' FROM otel.span_queue q WHERE name LIKE 'wait%';
TRUNCATE otel.span_queue;
SELECT is(places(trace(1), '{}'), 'linked from exported, span failed',
    'exported spans that are kept, and failed ones, are found');
SELECT is(state, 'exported',
    'linked_from finds exported and failed spans') FROM otel.linked_from(trace(1));

SELECT is(otel.links_to(ARRAY[otel.span_link(context(1)), otel.span_link(context(2), '{"a": 1}'),
    otel.span_link(context(1), '{"b": 2}')], trace(1)),
          ARRAY[otel.span_link(context(1)), otel.span_link(context(1), '{"b": 2}')],
              'links_to keeps the links that lead to a trace, in order');
SELECT is(otel.links_to(ARRAY[otel.span_link(context(1)), NULL], trace(2)), NULL,
    'links_to is NULL when no link leads to the trace');

-- ---- what is no trace id ----
SELECT throws_ok(format('SELECT * FROM otel.%s(%L)', f, id), '22P02',
    format('invalid trace id: "%s"', id), format('%s: %s', f, what))
  FROM unnest(ARRAY['find_trace', 'linked_from']) f,
       (VALUES ('4BF92F3577B34DA6A3CE929D0E0E4736', 'upper case'),
           ('4bf92f3577b34da6a3ce929d0e0e473', '31 digits'),
               ('00000000000000000000000000000000', 'all zero'), ('', 'empty')) v (id, what);

-- ---- rights ----
CREATE ROLE looking_back_test;
GRANT SELECT ON carriers TO looking_back_test;
GRANT SELECT (id, trace_context) ON jobs TO looking_back_test;
GRANT SELECT ON measured_1 TO looking_back_test;
CREATE SCHEMA closed;
CREATE TABLE closed.jobs (trace_context otel.trace_context);
INSERT INTO closed.jobs VALUES (context(1));
GRANT SELECT ON closed.jobs TO looking_back_test;
SET ROLE looking_back_test;
SELECT is(places(trace(1)), 'row public.jobs.trace_context',
    'tables, schemas and spans that one may not read are left out');
SELECT is(detail - 'trace_context', '{"id": 1}',
    'columns that one may not read are left out') FROM otel.find_trace(trace(1));
SELECT is(places(trace(100)), NULL, 'a column of contexts that one may not read is not searched');
SELECT is(places(trace(8)), 'row public.measured_1.c',
    'a partition that one may read is, when its table is not');
SELECT is(places(trace(9), '{child}'), NULL, 'naming a table gives no right to it');
SELECT is(count(*), 0::bigint, 'linked_from leaves out spans that one may not read')
    FROM otel.linked_from(trace(1));
SELECT unalike(otel.mermaid(context(1)), '%batch%',
    'mermaid does not show spans that the caller may not read');
RESET ROLE;
GRANT SELECT ON otel.exported_spans TO looking_back_test;
ALTER TABLE carriers ENABLE ROW LEVEL SECURITY;
SET ROLE looking_back_test;
SELECT is(array_agg(name), ARRAY['batch'], 'one may be allowed to read a table of spans')
    FROM otel.linked_from(trace(1));
SELECT is(places(trace(10), '{carriers}'), NULL, 'row level security holds');
RESET ROLE;
ALTER TABLE carriers DISABLE ROW LEVEL SECURITY;
-- whoever may create tables could have code run as the next role that looks for a trace
CREATE TABLE guarded (trace_context otel.trace_context);
INSERT INTO guarded VALUES (context(13));
CREATE FUNCTION policy_of_another() RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('looking_back.policy_ran_as', current_user, false);
    RETURN true;
END $$;
CREATE POLICY guard ON guarded USING (policy_of_another());
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON guarded TO looking_back_test;
SELECT is(places(trace(13)), 'row public.guarded.trace_context',
    'whom policies do not apply to finds the rows of a table with row security');
SET ROLE looking_back_test;
SELECT is(places(trace(13)), NULL, 'a table whose policies apply to the caller is left out');
SELECT is(current_setting('looking_back.policy_ran_as', true), NULL,
    'policies that apply to the caller are not run');
SELECT is(places(trace(13), '{guarded}'), 'row public.guarded.trace_context',
    'unless the caller names it');
RESET ROLE;

-- names that stand in the way
CREATE SCHEMA trap;
CREATE FUNCTION trap.has_column_privilege(oid, smallint, text) RETURNS bool LANGUAGE sql
    RETURN false;
CREATE FUNCTION trap.to_jsonb(anyelement) RETURNS jsonb
    LANGUAGE plpgsql AS $$ BEGIN RETURN '"trap"'; END $$;
CREATE FUNCTION trap.equal(text, text) RETURNS bool LANGUAGE sql RETURN true;
CREATE OPERATOR trap.= (FUNCTION = trap.equal, LEFTARG = text, RIGHTARG = text);
SET search_path = trap, pg_catalog, public;
SELECT string_agg(what || ' ' || place, ', ' ORDER BY what, place) AS found
    FROM otel.find_trace(public.trace(1))
 WHERE detail OPERATOR(pg_catalog.<>) '"trap"' \gset
RESET search_path;
SELECT is(:'found'::text,
    'linked from exported, row closed.jobs.trace_context, row public.jobs.trace_context, span '
        'failed',
          'what is in the search path cannot stand in the way');

-- ---- an index ----
CREATE TABLE many (id int, trace_context otel.trace_context);
INSERT INTO many SELECT i, context(i) FROM generate_series(1001, 6000) i;
CREATE INDEX ON many USING hash (otel.trace_id(trace_context));
CREATE INDEX ON carriers USING hash (otel.trace_id(otel.extract(b)));
ANALYZE many;
SELECT pg_stat_force_next_flush() \g /dev/null
CREATE FUNCTION plan_of(query text) RETURNS SETOF text
    LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN ' || query; END $$;
SELECT matches(string_agg(p, E'\n'), 'Index.* many_trace_id_idx', 'the documented index is used')
  FROM plan_of(format('SELECT * FROM many WHERE otel.trace_id(trace_context) = %L', trace(2000))) p;
BEGIN;
SELECT is(places(trace(2000), '{many}'), 'row public.many.trace_context',
    'a row among many is found');
SELECT is(format('%s %s', seq_scan, idx_scan), '0 1', 'find_trace uses the index')
    FROM pg_stat_xact_user_tables WHERE relname = 'many';
COMMIT;
BEGIN;
SET LOCAL enable_seqscan = off;
SELECT is(places(trace(10), '{carriers}') LIKE '%carriers.b,%', true,
    'a context in a jsonb column is found by its index');
SELECT is(idx_scan > 0, true, 'the index on what otel.extract() reads is used')
    FROM pg_stat_xact_user_tables WHERE relname = 'carriers';
COMMIT;

DROP OWNED BY looking_back_test;
DROP ROLE looking_back_test;
SELECT * FROM finish();
