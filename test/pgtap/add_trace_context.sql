-- otel.add_trace_context(): the column first, the default after it, and only where both make sense.
\set QUIET on
SET client_min_messages = warning;
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS otel_links;
SELECT plan(58);

\set tp1 '00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01'
\set from_1 '/*traceparent=\'00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01\'*/'

CREATE TABLE jobs (id int);
INSERT INTO jobs SELECT generate_series(1, 100);
SELECT pg_relation_filenode('jobs') AS filenode \gset
SELECT otel.add_trace_context('jobs') :from_1 \gset
SELECT col_type_is('jobs', 'trace_context', 'otel.trace_context', 'the column is there');
SELECT col_default_is('jobs', 'trace_context', 'otel.current_trace_context()',
    'add_trace_context() gives the column its default');
SELECT is(pg_relation_filenode('jobs')::text, :'filenode', 'the table is not rewritten');
SELECT is(count(trace_context)::int, 0, 'existing rows are NULL, although the migration is traced')
    FROM jobs :from_1;
INSERT INTO jobs VALUES (101) :from_1;
SELECT is(trace_context::text, :'tp1', 'new rows are not') FROM jobs WHERE id = 101;
SELECT lives_ok($$ SELECT otel.add_trace_context('jobs') $$,
    'add_trace_context() can be called again');
SELECT is(count(*)::int, 2, 'a second add_trace_context() adds nothing') FROM pg_attribute
    WHERE attrelid = 'jobs'::regclass AND attnum > 0;

-- names
CREATE SCHEMA "Odd ""schema""";
CREATE TABLE "Odd ""schema"""."jobs; --" (id int);
SELECT lives_ok($$ SELECT otel.add_trace_context('"Odd ""schema"""."jobs; --"', 'Odd "column"') $$,
    'names are quoted');
SELECT has_column('Odd "schema"', 'jobs; --', 'Odd "column"', 'the column has its name');
CREATE TEMPORARY TABLE jobs (id int);
SELECT otel.add_trace_context('pg_temp.jobs') \gset
SELECT is(count(*)::int, 1, 'a temporary table that hides another') FROM pg_attribute
    WHERE attrelid = 'pg_temp.jobs'::regclass AND attname = 'trace_context';
DROP TABLE pg_temp.jobs;

-- partitioned and inherited tables
CREATE TABLE parts (k int) PARTITION BY LIST (k);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
SELECT otel.add_trace_context('parts') \gset
SELECT col_default_is('parts_1', 'trace_context', 'otel.current_trace_context()',
    'partitions get both');
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES IN (2);
SELECT col_default_is('parts_2', 'trace_context', 'otel.current_trace_context()',
    'partitions that are made later get the column''s default');
INSERT INTO parts VALUES (1), (2) :from_1;
SELECT is(count(trace_context)::int, 2, 'rows of partitions have the context') FROM parts;
SELECT throws_ok($$ SELECT otel.add_trace_context('parts_1', 'x') $$, NULL,
    'cannot add column to a partition', 'not a partition alone');
CREATE TABLE parents (id int);
CREATE TABLE heirs () INHERITS (parents);
SELECT otel.add_trace_context('parents') \gset
SELECT col_default_is('heirs', 'trace_context', 'otel.current_trace_context()',
    'inheriting tables get both');

-- a column that is there
CREATE TABLE has (good otel.trace_context,
    own otel.trace_context DEFAULT otel.from_traceparent('x'), trace_context jsonb,
    g otel.trace_context GENERATED ALWAYS AS (otel.from_traceparent('x')) STORED);
SELECT lives_ok($$ SELECT otel.add_trace_context('has', 'good') $$,
    'one of the type gets the default');
SELECT col_default_is('has', 'good', 'otel.current_trace_context()', 'now it has it');
SELECT lives_ok($$ SELECT otel.add_trace_context('has', 'own') $$, 'one with a default of its own');
SELECT col_default_is('has', 'own', 'otel.from_traceparent(''x''::text)', 'keeps that');
SELECT throws_ok($$ SELECT otel.add_trace_context('has') $$, '42804',
    'column "trace_context" of table "has" is of type jsonb', 'another type is refused');
SELECT throws_ok($$ SELECT otel.add_trace_context('has', 'g') $$, '42611',
    'column "g" of table "has" is a generated column', 'a generated column is refused');

-- a column of another type, for tools that do not know ours
CREATE TABLE forms (id int);
SELECT lives_ok($$ SELECT otel.add_trace_context('forms', 'tp', type => 'text'),
                          otel.add_trace_context('forms', 'vc', 'varchar'),
                          otel.add_trace_context('forms', 'jb', 'jsonb') $$,
                              'text, varchar and jsonb');
SELECT col_type_is('forms', 'tp', 'text', 'text');
SELECT col_type_is('forms', 'vc', 'character varying', 'varchar');
SELECT col_type_is('forms', 'jb', 'jsonb', 'jsonb');
INSERT INTO forms VALUES (1)
    /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01',tracestate='a%3D1'*/;
SELECT is(ARRAY[tp, vc], ARRAY[:'tp1', :'tp1'], 'text and varchar record the traceparent')
    FROM forms;
SELECT is(jb, jsonb_build_object('traceparent', :'tp1', 'tracestate', 'a=1'),
    'jsonb the carrier, with the tracestate') FROM forms;
INSERT INTO forms VALUES (2);
SELECT is(ARRAY[tp, vc, jb::text], ARRAY[NULL, NULL, NULL], 'all are NULL without a context')
    FROM forms WHERE id = 2;
SELECT lives_ok($$ SELECT otel.add_trace_context('forms', 'tp', 'text'),
    otel.add_trace_context('forms', 'vc', 'varchar'),
                          otel.add_trace_context('forms', 'jb', 'jsonb') $$,
                              'add_trace_context() with a type can be called again');
SELECT lives_ok($$ SELECT otel.add_trace_context('forms', type => NULL) $$, 'no type is our type');
SELECT col_type_is('forms', 'trace_context', 'otel.trace_context',
    'add_trace_context() with type NULL adds a column of our type');
SELECT throws_ok($$ SELECT otel.add_trace_context('forms', 'tp') $$, '42804',
    'column "tp" of table "forms" is of type text',
        'text is not taken for a context unless it is said');
SELECT throws_ok($$ SELECT otel.add_trace_context('forms', 'n', 'int') $$, '22023',
    'a column of type integer cannot be filled by a default', 'a type that cannot hold one');
SELECT throws_ok($$ SELECT otel.add_trace_context('forms', 'n', 'json') $$, '22023',
    'a column of type json cannot be filled by a default',
    'a column of type json is refused, as no default can fill it');
SELECT hasnt_column('forms', 'n', 'a refused type leaves no column behind');
CREATE TABLE short (v varchar(54), long varchar(55),
    ours text DEFAULT 'traceparent=' || otel.traceparent(otel.current_trace_context()));
SELECT throws_ok($$ SELECT otel.add_trace_context('short', 'v', 'varchar') $$, '42804',
    'column "v" of table "short" is of type character varying(54)', 'a varchar that is too short');
SELECT lives_ok($$ SELECT otel.add_trace_context('short', 'long', 'varchar') $$,
    'one that is long enough');
SELECT lives_ok($$ SELECT otel.add_trace_context('short', 'ours', 'text') $$,
    'a default around our function counts as ours');
SELECT throws_ok($$ SELECT otel.add_trace_context('short', 'ctid') $$, NULL,
    'column "ctid" of table "short" is of type tid', 'a system column');

-- partitions that were attached without the default are mended
CREATE TABLE late (k int, trace_context otel.trace_context);
ALTER TABLE parts ATTACH PARTITION late FOR VALUES IN (3);
CREATE TABLE own (k int, trace_context otel.trace_context DEFAULT otel.from_traceparent('x'));
ALTER TABLE parts ATTACH PARTITION own FOR VALUES IN (4);
CREATE TABLE sub (trace_context otel.trace_context, k int) PARTITION BY LIST (k);
CREATE TABLE sub_5 PARTITION OF sub FOR VALUES IN (5);
ALTER TABLE parts ATTACH PARTITION sub FOR VALUES IN (5);
SELECT col_hasnt_default('late', 'trace_context', 'a partition that was attached has no default');
SELECT lives_ok($$ SELECT otel.add_trace_context('parts') $$, 'the call is repeated');
SELECT col_default_is('late', 'trace_context', 'otel.current_trace_context()', 'now it has it');
SELECT col_default_is('sub_5', 'trace_context', 'otel.current_trace_context()',
    'a partition of a partition gets the default');
SELECT col_default_is('own', 'trace_context', 'otel.from_traceparent(''x''::text)',
    'one of its own stays');
INSERT INTO late VALUES (3) :from_1;
SELECT is(trace_context::text, :'tp1', 'rows that go into the partition itself have the context')
    FROM late;
-- a default of a partition's own is not lost when the partitioned table gets its own
CREATE TABLE parts2 (k int, c otel.trace_context) PARTITION BY LIST (k);
CREATE TABLE parts2_1 PARTITION OF parts2 (c DEFAULT otel.from_traceparent('y')) FOR VALUES IN (1);
SELECT lives_ok($$ SELECT otel.add_trace_context('parts2', 'c') $$, 'partitions with a default');
SELECT col_default_is('parts2_1', 'c', 'otel.from_traceparent(''y''::text)', 'keep it');

-- foreign tables, also as partitions; that rows reach the other server is in t/014
CREATE FOREIGN DATA WRAPPER dummy;
CREATE SERVER dummy FOREIGN DATA WRAPPER dummy;
CREATE FOREIGN TABLE far (id int) SERVER dummy;
SELECT lives_ok($$ SELECT otel.add_trace_context('far') $$, 'a foreign table');
SELECT col_default_is('far', 'trace_context', 'otel.current_trace_context()',
    'a foreign table gets the default');
CREATE FOREIGN TABLE far_part (trace_context otel.trace_context, k int) SERVER dummy;
ALTER TABLE parts ATTACH PARTITION far_part FOR VALUES IN (6);
SELECT lives_ok($$ SELECT otel.add_trace_context('parts') $$,
    'a partition that is a foreign table');
SELECT col_default_is('far_part', 'trace_context', 'otel.current_trace_context()',
    'a partition that is a foreign table gets the default');

-- what is no table, and who may
CREATE VIEW a_view AS SELECT 1 AS id;
SELECT throws_ok($$ SELECT otel.add_trace_context('a_view') $$, '42809', '"a_view" is not a table',
    'a view');
CREATE MATERIALIZED VIEW a_matview AS SELECT 1 AS id;
SELECT throws_ok($$ SELECT otel.add_trace_context('a_matview') $$, '42809',
    '"a_matview" is not a table', 'a materialized view');
SELECT throws_ok($$ SELECT otel.add_trace_context(NULL) $$, '22004',
    'table and column must not be null', 'no table');
SELECT throws_ok($$ SELECT otel.add_trace_context('jobs', NULL) $$, '22004',
    'table and column must not be null', 'no column');
CREATE ROLE regress_otel_stranger;
CREATE ROLE regress_otel_owner;
GRANT CREATE ON SCHEMA public TO regress_otel_owner;
CREATE TABLE owned (id int);
ALTER TABLE owned OWNER TO regress_otel_owner;
SET LOCAL ROLE regress_otel_stranger;
SELECT throws_ok($$ SELECT otel.add_trace_context('public.owned') $$, '42501',
    'must be owner of table owned', 'not the owner');
SELECT throws_ok($$ SELECT otel.add_trace_context('public.jobs') $$, '42501',
    'must be owner of table jobs', 'not even when there is nothing to do');
SET LOCAL ROLE regress_otel_owner;
SELECT lives_ok($$ SELECT otel.add_trace_context('public.owned') $$, 'the owner');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
