-- otel.capture_into() and otel.remove_capture(): the trigger, what is refused, and what is left
-- behind.
\set QUIET on
SET client_min_messages = warning;
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS otel_links;
SELECT plan(79);

\set tp1 '00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01'
\set tp2 '00-4bf92f3577b34da6a3ce929d0e0e4732-00f067aa0ba902b7-01'
\set from_1 '/*traceparent=\'00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01\'*/'
\set from_2 '/*traceparent=\'00-4bf92f3577b34da6a3ce929d0e0e4732-00f067aa0ba902b7-01\'*/'

CREATE FUNCTION pg_temp.trigger_of(name regclass) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(regexp_replace(pg_get_triggerdef(oid),
        '^CREATE TRIGGER (.*) ON .* FOR EACH ROW EXECUTE FUNCTION',
                                     '\1:'), ', ' ORDER BY tgname)
      FROM pg_trigger WHERE tgrelid = $1 AND NOT tgisinternal $$;
CREATE FUNCTION pg_temp.error_of(statement text, OUT state text, OUT message text, OUT detail text,
    OUT hint text)
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
EXCEPTION WHEN others THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
END $$;

-- ---- what it makes ----
CREATE TABLE jobs (id int PRIMARY KEY, payload jsonb, headers json, args text, tp varchar(55),
    c otel.trace_context, n int,
    g text GENERATED ALWAYS AS ('x') STORED, short varchar(54));
SELECT lives_ok($$ SELECT otel.capture_into('jobs', 'payload') $$, 'a column of jsonb');
SELECT is(pg_temp.trigger_of('jobs'),
    'otel_capture_payload BEFORE INSERT: otel.capture_trace_context(''payload'', ''keep'')',
          'capture_into() makes a trigger for INSERT that keeps what is there');
INSERT INTO jobs VALUES (1, '{"a": 1}') :from_1;
SELECT is(payload, jsonb_build_object('a', 1, 'traceparent', :'tp1'),
    'the trigger adds the context to a rows JSON')
    FROM jobs;
SELECT lives_ok($$ SELECT otel.capture_into('jobs', 'payload') $$,
    'capture_into() can be called again with the same arguments');
SELECT lives_ok($$ SELECT otel.capture_into('jobs', 'payload', 'replace', '{otel}') $$,
    'capture_into() can be called again with other arguments');
SELECT is(pg_temp.trigger_of('jobs'),
    'otel_capture_payload BEFORE INSERT: otel.capture_trace_context(''payload'', ''replace'', '
        '''{otel}'')',
          'capture_into() called differently replaces the trigger');
INSERT INTO jobs VALUES (2, '{"a": 1}') :from_1;
SELECT is(otel.extract(payload, '{otel}')::text, :'tp1',
    'the new trigger uses the path') FROM jobs WHERE id = 2;
SELECT lives_ok($$ SELECT otel.capture_into('jobs', 'payload', path => '{}') $$, 'an empty path');
SELECT is(pg_temp.trigger_of('jobs'),
    'otel_capture_payload BEFORE INSERT: otel.capture_trace_context(''payload'', ''keep'')',
    'an empty path counts as none');
SELECT lives_ok($$ SELECT otel.capture_into('jobs', 'headers'), otel.capture_into('jobs', 'args'),
    otel.capture_into('jobs', 'tp'),
                          otel.capture_into('jobs', 'c') $$, 'json, text, varchar and our type');
INSERT INTO jobs VALUES (3, NULL, '{}', '{"job_class": "Report"}', NULL, NULL) :from_1;
SELECT is((headers ->> 'traceparent', args::json ->> 'traceparent', tp, c::text)::text,
    (:'tp1', :'tp1', :'tp1', :'tp1')::text,
          'all of them in one row') FROM jobs WHERE id = 3;
SELECT is(count(*)::int, 5, 'each has a trigger') FROM pg_trigger WHERE tgrelid = 'jobs'::regclass;
-- names
CREATE SCHEMA "Odd ""schema""";
CREATE TABLE "Odd ""schema"""."jobs; --" (id int, "Säule '\ ""x" jsonb);
SELECT lives_ok($$ SELECT otel.capture_into('"Odd ""schema"""."jobs; --"', 'Säule ''\ "x') $$,
    'names are quoted');
SELECT lives_ok($$
    SELECT otel.capture_into('"Odd ""schema"""."jobs; --"', 'Säule ''\ "x',
    path => '{"k ''\\ \"",é}') $$, 'capture_into() quotes the names in a path');
INSERT INTO "Odd ""schema"""."jobs; --" VALUES (1, '{}') :from_1;
SELECT is("Säule '\ ""x",
    jsonb_build_object('k ''\ "',
    jsonb_build_object('é', jsonb_build_object('traceparent', :'tp1'))),
          'the trigger works with a quoted path') FROM "Odd ""schema"""."jobs; --";
SELECT lives_ok($$ SELECT otel.remove_capture('"Odd ""schema"""."jobs; --"', 'Säule ''\ "x') $$,
    'remove_capture() finds a trigger with odd names');
SELECT is(pg_temp.trigger_of('"Odd ""schema"""."jobs; --"'), NULL,
    'remove_capture() removes a trigger with odd names');
SELECT format('CREATE TABLE long (%I jsonb)', repeat('ä', 31)) \gexec
SELECT lives_ok(format('SELECT otel.capture_into(''long'', %L), otel.capture_into(''long'', %1$L)',
    repeat('ä', 31)), 'a name that is too long for a trigger''s');
SELECT is(count(*)::int, 1,
    'a trigger name that is too long is cut') FROM pg_trigger WHERE tgrelid = 'long'::regclass;

-- what is left behind: nothing
CREATE TABLE plain_jobs (id int PRIMARY KEY, payload jsonb DEFAULT '{}', parent int REFERENCES jobs,
    CHECK (id > 0));
CREATE TRIGGER own BEFORE UPDATE ON plain_jobs
    FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE FUNCTION pg_temp.catalog_of(name regclass) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT a::text FROM pg_attribute a WHERE attrelid = $1
    UNION ALL SELECT d::text FROM pg_attrdef d WHERE adrelid = $1
    UNION ALL SELECT t::text || pg_get_triggerdef(oid) FROM pg_trigger t WHERE tgrelid = $1
    UNION ALL SELECT d::text FROM pg_depend d
               WHERE classid = 'pg_class'::regclass AND objid = $1
                  OR refclassid = 'pg_class'::regclass AND refobjid = $1 $$;
CREATE TEMPORARY TABLE catalog_before AS SELECT pg_temp.catalog_of('plain_jobs') AS row;
SELECT otel.capture_into('plain_jobs', 'payload', 'replace', '{otel}', '{payload}');
SELECT set_ne($$ SELECT pg_temp.catalog_of('plain_jobs') $$, $$ SELECT row FROM catalog_before $$,
    'capture_into() is seen in the catalog');
SELECT otel.remove_capture('plain_jobs', 'payload');
SELECT bag_eq($$ SELECT pg_temp.catalog_of('plain_jobs') $$, $$ SELECT row FROM catalog_before $$,
    'remove_capture() leaves the catalog as it was before capture_into()');

-- UPDATE of the columns that make a new request
CREATE TABLE keyed (key text PRIMARY KEY, payload text, attempts int DEFAULT 0,
    context otel.trace_context);
SELECT lives_ok($$
    SELECT otel.capture_into('keyed', 'context', 'replace', update_of => '{payload,key}') $$,
    'update_of');
SELECT is(pg_temp.trigger_of('keyed'),
    'otel_capture_context BEFORE INSERT OR UPDATE OF payload, key: '
        'otel.capture_trace_context(''context'', ''replace'')',
    'the columns of update_of are the trigger''s');
INSERT INTO keyed VALUES ('k', 'first') :from_1;
INSERT INTO keyed VALUES ('k', 'second') ON CONFLICT (key) DO UPDATE
    SET payload = excluded.payload :from_2;
SELECT is(context::text, :'tp2', 'an upsert that changes them is a new request') FROM keyed;
UPDATE keyed SET attempts = 1 :from_1;
SELECT is(context::text, :'tp2', 'a worker''s UPDATE is none') FROM keyed;

-- ---- what it refuses ----
SELECT is(pg_temp.error_of($$ SELECT otel.capture_into('jobs', 'nothing') $$)::text,
          '(42703,"column ""nothing"" of table ""jobs"" does not '
              'exist","","otel.add_trace_context() adds a column.")', 'a column that is missing');
SELECT is(pg_temp.error_of($$ SELECT otel.capture_into('jobs', 'n') $$)::text,
          '(42804,"column ""n"" of table ""jobs"" is of type integer","A trace context needs a '
              'column of type otel.trace_context, text, varchar of 55 characters or more, json or '
              'jsonb.","")',
          'a column of another type');
SELECT is((pg_temp.error_of($$ SELECT otel.capture_into('jobs', 'short') $$)).message,
    'column "short" of table "jobs" is of type character varying(54)',
    'a varchar that is too short');
SELECT is((pg_temp.error_of($$ SELECT otel.capture_into('jobs', 'g') $$)).message,
    'column "g" of table "jobs" is a generated column', 'a generated column');
SELECT is((pg_temp.error_of($$ SELECT otel.capture_into('jobs', 'ctid') $$)).message,
    'column "ctid" of table "jobs" does not exist', 'a system column');
CREATE DOMAIN checked AS text CHECK (length(value) < 10);
CREATE TABLE domains (d checked);
SELECT is((pg_temp.error_of($$ SELECT otel.capture_into('domains', 'd') $$)).state, '42804',
    'a domain, whose check a trigger passes by');
SELECT is((pg_temp.error_of($$ SELECT otel.capture_into('jobs', 'payload', 'always') $$))::text,
          '(22023,"invalid mode: ""always""","","The mode is keep or replace.")', 'another mode');
SELECT is((pg_temp.error_of($$ SELECT otel.capture_into('jobs', 'c', path => '{a}') $$))::text,
          '(22023,"a column of type otel.trace_context has no path","","A path names an object in '
              'a column of JSON.")', 'a path where there can be none');
SELECT is((pg_temp.error_of($$
    SELECT otel.capture_into('jobs', 'payload', path => '{a,NULL}') $$)).message,
    'a key of the path is null', 'a path with NULL in it');
SELECT is((pg_temp.error_of($$
    SELECT otel.capture_into('jobs', 'payload', update_of => '{n,NULL}') $$)).message,
    'a column of update_of is null', 'update_of with NULL in it');
SELECT is((pg_temp.error_of($$
    SELECT otel.capture_into('jobs', 'payload', update_of => '{nothing}') $$)).state, '42703',
    'update_of with a column that is missing');
SELECT is((pg_temp.error_of($$ SELECT otel.capture_into(NULL, 'payload') $$)).message,
    'table and column must not be null', 'no table');
SELECT is((pg_temp.error_of($$ SELECT otel.capture_into('jobs', NULL) $$)).message,
    'table and column must not be null', 'no column');
SELECT is((pg_temp.error_of($$ SELECT otel.capture_into(0, 'payload') $$)).message,
    'table with oid 0 does not exist', 'a table that is gone');
CREATE VIEW a_view AS SELECT '{}'::jsonb AS payload;
SELECT is((pg_temp.error_of($$ SELECT otel.capture_into('a_view', 'payload') $$)).message,
    '"a_view" is not a table', 'a view');
SELECT lives_ok($$ SELECT otel.capture_into('jobs', 'payload', NULL) $$, 'no mode is keep');
-- somebody else's trigger of that name
CREATE TABLE named (payload jsonb);
CREATE FUNCTION pg_temp.other() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER otel_capture_payload BEFORE INSERT ON named FOR EACH ROW
    EXECUTE FUNCTION pg_temp.other();
SELECT is((pg_temp.error_of($$ SELECT otel.capture_into('named', 'payload') $$)).state, '42710',
    'a trigger of that name that is not ours is not replaced');
-- ours, by another name
CREATE TABLE by_hand (trace_context otel.trace_context);
CREATE TRIGGER mine BEFORE INSERT ON by_hand FOR EACH ROW
    EXECUTE FUNCTION otel.capture_trace_context();
SELECT lives_ok($$ SELECT otel.capture_into('by_hand', 'trace_context', 'replace') $$,
    'ours by another name');
SELECT is(pg_temp.trigger_of('by_hand'),
    'mine BEFORE INSERT: otel.capture_trace_context(''trace_context'', ''replace'')',
    'a trigger of ours by another name is not doubled');

-- ---- partitions ----
CREATE TABLE parts (k int, data jsonb) PARTITION BY LIST (k);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
SELECT lives_ok($$ SELECT otel.capture_into('parts', 'data') $$, 'a partitioned table');
CREATE TABLE parts_2 (data jsonb, k int);
ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES IN (2);
INSERT INTO parts VALUES (1), (2) :from_1;
INSERT INTO parts_2 (k) VALUES (2) :from_1;
SELECT is(count(otel.extract(data))::int, 3,
    'partitions have the trigger, also those that come later') FROM parts;
SELECT lives_ok($$ SELECT otel.capture_into('parts_2', 'data', 'replace') $$, 'a partition of it');
SELECT is(pg_temp.trigger_of('parts_2'),
    'otel_capture_data BEFORE INSERT: otel.capture_trace_context(''data'', ''keep'')',
    'a partition has the trigger of its partitioned table');
SELECT lives_ok($$ SELECT otel.capture_into('parts', 'data', 'replace') $$, 'said differently');
SELECT is(pg_temp.trigger_of('parts_2'),
    'otel_capture_data BEFORE INSERT: otel.capture_trace_context(''data'', ''replace'')',
    'partitions change too');
CREATE TABLE parts_3 (k int, data jsonb);
SELECT otel.capture_into('parts_3', 'data') \gset
SELECT otel.remove_capture('parts', 'data') \gset
ALTER TABLE parts ATTACH PARTITION parts_3 FOR VALUES IN (3);
SELECT lives_ok($$ SELECT otel.remove_capture('parts', 'data') $$,
    'a partition that came with a trigger of its own');
SELECT is(count(*)::int, 0, 'loses it, too') FROM pg_trigger
    WHERE tgrelid IN (SELECT relid FROM pg_partition_tree('parts'));

-- ---- inheriting tables ----
CREATE TABLE parent (k int, data jsonb);
CREATE TABLE child (more text) INHERITS (parent);
SELECT lives_ok($$ SELECT otel.capture_into('parent', 'data') $$,
    'a table that others inherit from');
INSERT INTO parent VALUES (1) :from_1;
INSERT INTO child VALUES (1) :from_1;
SELECT is(count(otel.extract(data))::int, 2, 'those that inherit have the trigger, too')
    FROM parent;
CREATE TABLE later () INHERITS (parent);
SELECT otel.capture_into('parent', 'data', 'replace') \gset
SELECT is(array_agg(pg_temp.trigger_of(t)),
    array_fill('otel_capture_data BEFORE INSERT: '
        'otel.capture_trace_context(''data'', ''replace'')'::text, '{3}'),
    'called again it changes all of them, and adds it to one that came later')
    FROM unnest('{parent,child,later}'::regclass[]) t;
SELECT otel.remove_capture('parent', 'data') \gset
SELECT is(count(*)::int, 0, 'remove_capture() takes all of them off') FROM pg_trigger
    WHERE tgrelid IN ('parent'::regclass, 'child'::regclass, 'later'::regclass);

-- foreign tables
CREATE FOREIGN DATA WRAPPER dummy;
CREATE SERVER dummy FOREIGN DATA WRAPPER dummy;
CREATE FOREIGN TABLE far (id int, data jsonb) SERVER dummy;
SELECT lives_ok($$ SELECT otel.capture_into('far', 'data') $$, 'a foreign table');
SELECT is(pg_temp.trigger_of('far'),
    'otel_capture_data BEFORE INSERT: otel.capture_trace_context(''data'', ''keep'')',
    'a foreign table gets the trigger');

-- ---- remove_capture ----
SELECT lives_ok($$ SELECT otel.remove_capture('jobs', c)
    FROM unnest('{payload,headers,args,tp,c}'::name[]) c $$, 'remove_capture()');
SELECT is(pg_temp.trigger_of('jobs'), NULL, 'remove_capture() leaves no trigger');
SELECT is(payload, jsonb_build_object('a', 1, 'traceparent', :'tp1'),
    'remove_capture() leaves what was captured')
    FROM jobs WHERE id = 1;
SELECT lives_ok($$ SELECT otel.remove_capture('jobs', 'payload') $$,
    'remove_capture() can be called again');
CREATE TABLE mine (id int, other otel.trace_context DEFAULT otel.from_traceparent('x'),
    text text DEFAULT 'traceparent=' || otel.traceparent(otel.current_trace_context()));
SELECT otel.add_trace_context('mine') \gset
SELECT otel.capture_into('mine', 'trace_context') \gset
SELECT otel.capture_into('mine', 'other') \gset
SELECT lives_ok($$ SELECT otel.remove_capture('mine', c)
    FROM unnest('{trace_context,other,text}'::name[]) c $$, 'default and trigger');
SELECT has_column('mine', 'trace_context', 'the column stays');
SELECT col_hasnt_default('mine', 'trace_context', 'remove_capture() drops the default');
SELECT col_hasnt_default('mine', 'text',
    'remove_capture() removes a default that has our function within an expression');
SELECT col_default_is('mine', 'other', 'otel.from_traceparent(''x''::text)',
    'a default that is not ours stays');
SELECT is(pg_temp.trigger_of('mine'), NULL, 'no trigger is left');
CREATE TABLE inh (id int);
CREATE TABLE inh_child () INHERITS (inh);
SELECT otel.add_trace_context('inh') \gset
SELECT otel.remove_capture('inh', 'trace_context') \gset
SELECT col_hasnt_default('inh_child', 'trace_context',
    'remove_capture() removes the default of an inheriting table');
SELECT is((pg_temp.error_of($$ SELECT otel.remove_capture('jobs', 'nothing') $$)).state, '42703',
    'remove_capture(): a column that is missing');

CREATE TABLE changed (gone jsonb, shorter text);
SELECT otel.capture_into('changed', 'gone'), otel.capture_into('changed', 'shorter') \gset
ALTER TABLE changed DROP gone, ALTER shorter TYPE varchar(20);
SELECT lives_ok($$ SELECT otel.remove_capture('changed', 'gone'),
    otel.remove_capture('changed', 'shorter') $$,
    'remove_capture() takes triggers off that can only fail: of a column that was dropped, or has '
        'another type now');
SELECT is(pg_temp.trigger_of('changed'), NULL,
    'remove_capture() leaves no trigger whose column is gone');
SELECT is((pg_temp.error_of($$ SELECT otel.remove_capture('changed', 'gone') $$)).state, '42703',
    'after which that column is missing');

-- ---- who may ----
CREATE ROLE regress_otel_stranger;
CREATE ROLE regress_otel_owner;
GRANT CREATE ON SCHEMA public TO regress_otel_owner;
CREATE TABLE owned (data jsonb);
ALTER TABLE owned OWNER TO regress_otel_owner;
SET LOCAL ROLE regress_otel_stranger;
SELECT is((pg_temp.error_of($$ SELECT otel.capture_into('public.owned', 'data') $$)).message,
    'must be owner of table owned', 'not the owner');
SELECT is((pg_temp.error_of($$ SELECT otel.remove_capture('public.owned', 'data') $$)).message,
    'must be owner of table owned', 'only the owner may call remove_capture()');
SET LOCAL ROLE regress_otel_owner;
SELECT lives_ok($$ SELECT otel.capture_into('public.owned', 'data') $$, 'the owner');
SELECT is((pg_temp.error_of($$
    SELECT otel.capture_into('pg_catalog.pg_description', 'description') $$)).state, '42501',
    'an owner may not call capture_into() on a catalog');
RESET ROLE;
SELECT throws_ok($$ SELECT otel.capture_into('pg_catalog.pg_description', 'description') $$,
    '42501', NULL, 'not even a superuser may call capture_into() on a catalog');

-- what comes first in the caller's search_path is not used
CREATE SCHEMA evil;
CREATE FUNCTION evil.capture_trace_context() RETURNS trigger
    LANGUAGE plpgsql AS 'BEGIN RAISE ''evil''; END';
CREATE FUNCTION evil.convert_to(text, name) RETURNS bytea
    LANGUAGE plpgsql AS 'BEGIN RAISE ''evil''; END';
CREATE FUNCTION evil.eq(oid, oid) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RAISE ''evil''; END';
CREATE OPERATOR evil.= (FUNCTION = evil.eq, LEFTARG = oid, RIGHTARG = oid);
CREATE DOMAIN evil.regprocedure AS text CHECK (false);
SET LOCAL search_path = evil, pg_catalog, public;
SELECT lives_ok($$ SELECT otel.capture_into('public.jobs', 'payload'),
    otel.capture_into('public.jobs', 'payload'),
                          otel.add_trace_context('public.jobs', 'c'),
                              otel.remove_capture('public.jobs', 'c') $$,
                'nothing of another schema is called');
RESET search_path;

SELECT * FROM finish();
ROLLBACK;
