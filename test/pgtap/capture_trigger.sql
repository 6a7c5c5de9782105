-- otel.capture_trace_context(), the trigger: columns of each type, INSERT and UPDATE, keep and
-- replace.
\set QUIET on
SET client_min_messages = warning;
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS otel_links;
SELECT plan(223);

\set tp1 '00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01'
\set tp2 '00-4bf92f3577b34da6a3ce929d0e0e4732-00f067aa0ba902b7-01'
\set from_1 '/*traceparent=\'' :tp1 '\',tracestate=\'a=1\'*/'
\set carrier1 '{"traceparent": "' :tp1 '", "tracestate": "a=1"}'
\set carrier2 '{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4732-00f067aa0ba902b7-01"}'

-- ---- a column of type otel.trace_context, keep ----
CREATE TABLE jobs (id int PRIMARY KEY, n int, trace_context otel.trace_context);
CREATE TRIGGER capture BEFORE INSERT OR UPDATE ON jobs
    FOR EACH ROW EXECUTE FUNCTION otel.capture_trace_context();
CREATE FUNCTION pg_temp.context(id int) RETURNS text LANGUAGE sql AS
    'SELECT trace_context::text FROM jobs WHERE jobs.id = $1';

INSERT INTO jobs VALUES (1, 0, NULL) :from_1;
SELECT is(pg_temp.context(1), :'tp1' || ';a=1', 'a client that says NULL gets the context');
INSERT INTO jobs VALUES (2, 0, :'tp2') :from_1;
SELECT is(pg_temp.context(2), :'tp2', 'a context that the client gives stays');
INSERT INTO jobs VALUES (3, 0, NULL);
SELECT is(pg_temp.context(3), NULL, 'without a context the row stays as it is');
UPDATE jobs SET n = 1 WHERE id = 3 :from_1;
SELECT is(pg_temp.context(3), :'tp1' || ';a=1', 'UPDATE fills what is empty');
UPDATE jobs SET n = 1 WHERE id = 2 :from_1;
SELECT is(pg_temp.context(2), :'tp2', 'UPDATE keeps what is there');
UPDATE jobs SET trace_context = NULL WHERE id = 2;
SELECT is(pg_temp.context(2), NULL, 'UPDATE without a context may clear it');
INSERT INTO jobs AS j VALUES (1, 0, NULL) ON CONFLICT (id) DO UPDATE
    SET n = j.n + 1 /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4732-00f067aa0ba902b7-01'*/;
SELECT is(pg_temp.context(1), :'tp1' || ';a=1',
    'an upsert keeps the context of the row that was there');
COPY jobs FROM STDIN :from_1;
4	0	\N
\.
SELECT is(pg_temp.context(4), :'tp1' || ';a=1', 'COPY');
SET LOCAL otel.traceparent = :'tp2';
INSERT INTO jobs VALUES (5, 0, NULL) :from_1;
SELECT is(pg_temp.context(5), :'tp2', 'a setting goes before a comment here too');
SET LOCAL otel.traceparent = '';
INSERT INTO jobs SELECT i, 0, NULL FROM generate_series(6, 8) i :from_1;
SELECT is((SELECT count(*)::int FROM jobs WHERE trace_context::text = :'tp1' || ';a=1'
    AND id BETWEEN 6 AND 8), 3, 'many rows');

-- ---- replace ----
CREATE OR REPLACE TRIGGER capture BEFORE INSERT OR UPDATE ON jobs
    FOR EACH ROW EXECUTE FUNCTION otel.capture_trace_context('trace_context', 'replace');
UPDATE jobs SET n = 2 WHERE id = 5 :from_1;
SELECT is(pg_temp.context(5), :'tp1' || ';a=1', 'UPDATE replaces what is there');
INSERT INTO jobs VALUES (10, 0, :'tp2') :from_1;
SELECT is(pg_temp.context(10), :'tp1' || ';a=1', 'INSERT replaces what the client gives');
INSERT INTO jobs VALUES (11, 0, :'tp2');
SELECT is(pg_temp.context(11), :'tp2', 'without a context there is nothing to replace it with');
INSERT INTO jobs AS j VALUES (11, 0) ON CONFLICT (id) DO UPDATE SET n = j.n + 1 :from_1;
SELECT is(pg_temp.context(11), :'tp1' || ';a=1',
    'an upsert replaces the context of the row that was there');

-- ---- text and varchar ----
CREATE TABLE texts (id int, tp text, vc varchar(55));
CREATE TRIGGER capture_tp BEFORE INSERT OR UPDATE ON texts
    FOR EACH ROW EXECUTE FUNCTION otel.capture_trace_context('tp');
CREATE TRIGGER capture_vc BEFORE INSERT OR UPDATE ON texts
    FOR EACH ROW EXECUTE FUNCTION otel.capture_trace_context('vc', 'replace');
INSERT INTO texts VALUES (1) :from_1;
SELECT is(tp, :'tp1', 'text gets the traceparent') FROM texts;
SELECT is(vc, :'tp1', 'varchar gets the traceparent') FROM texts;
UPDATE texts SET tp = :'tp2', vc = :'tp2' :from_1;
SELECT is(tp, :'tp2', 'a traceparent in text is kept') FROM texts;
SELECT is(vc, :'tp1', 'a traceparent in text is replaced in mode replace') FROM texts;
UPDATE texts SET tp = '', vc = '' :from_1;
SELECT is(tp || vc, :'tp1' || :'tp1', 'the empty string is not kept') FROM texts;
UPDATE texts SET tp = '', vc = '';
SELECT is(tp || vc, '', 'without a context, the empty string stays') FROM texts;

-- ---- a payload that is kept as text is never lost ----
CREATE TABLE payloads (t text, v varchar(200), j json, b jsonb);
CREATE FUNCTION pg_temp.payload(col text, mode text, value text,
    path text DEFAULT NULL) RETURNS text
    LANGUAGE plpgsql AS $$
    DECLARE result text;
    BEGIN
        EXECUTE format('CREATE OR REPLACE TRIGGER capture BEFORE INSERT ON payloads FOR EACH ROW
                        EXECUTE FUNCTION otel.capture_trace_context(%L, %L%s)', col, mode,
                            ', ' || quote_literal(path));
        EXECUTE format('INSERT INTO payloads (%I) VALUES (%L) RETURNING %1$I', col,
            value) INTO result;
        RETURN replace(replace(result, '00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01',
            '$1'),
                       '00-4bf92f3577b34da6a3ce929d0e0e4732-00f067aa0ba902b7-01', '$2');
    END $$;
CREATE TEMPORARY TABLE payload_cases (
    n int GENERATED ALWAYS AS IDENTITY, name text, cols text[], path text, value text, kept text,
        replaced text
);
-- $1 is the current context, $2 another; what is kept where nothing is said is what the client gave
INSERT INTO payload_cases (name, cols, path, value, kept, replaced) VALUES
('a JSON object, byte for byte', '{t,v}', NULL, E' {"job_class":"Report",\n "arguments":[1.50]} ',
 E' {"job_class":"Report",\n "arguments":[1.50],"traceparent":"$1","tracestate":"a=1"} ', NULL),
('a JSON object', '{j}', NULL, '{"b":1,  "a":{}}',
    '{"b":1,  "a":{},"traceparent":"$1","tracestate":"a=1"}', NULL),
('an empty object', '{t,v,j}', NULL, '{ }', '{"traceparent":"$1","tracestate":"a=1" }', NULL),
('duplicate keys stay', '{t,v,j}', NULL, '{"a":1,"a":2}',
    '{"a":1,"a":2,"traceparent":"$1","tracestate":"a=1"}', NULL),
('an object with a carrier', '{t,v,j}', NULL, '{"traceparent":"$2","a":1}',
    '{"traceparent":"$2","a":1}',
 '{"a":1,"traceparent":"$1","tracestate":"a=1"}'),
('an object with a useless carrier', '{t,v,j}', NULL,
    '{"traceparent":"x","Tracestate":"b=2","a":1}',
 '{"a":1,"traceparent":"$1","tracestate":"a=1"}', NULL),
('a text', '{t,v}', NULL, 'to be done', 'to be done', NULL),
('white space', '{t,v}', NULL, ' ', ' ', NULL),
('text that is an array', '{t,v,j}', NULL, '[1, {"a": 2}]', '[1, {"a": 2}]', NULL),
('text that is a JSON string', '{t,v,j}', NULL, '"$2"', '"$2"', NULL),
('text that says null', '{t,v}', NULL, 'null', 'null', NULL),
('JSON null counts as none', '{j}', NULL, ' null ', ' {"traceparent":"$1","tracestate":"a=1"} ',
    NULL),
('JSON null counts as none', '{b}', NULL, 'null', '{"tracestate": "a=1", "traceparent": "$1"}',
    NULL),
('NULL', '{j}', NULL, NULL, '{"traceparent":"$1","tracestate":"a=1"}', NULL),
('an object that is not closed', '{t,v}', NULL, '{"a": 1', '{"a": 1', NULL),
('YAML', '{t,v}', NULL, E'--- !ruby/object\na: 1\n', E'--- !ruby/object\na: 1\n', NULL),
('almost a traceparent', '{t,v}', NULL, '$2-x', '$2-x', NULL),
('a traceparent', '{t,v}', NULL, '$2', '$2', '$1'),
('the type''s text form', '{t,v}', NULL, '$2;b=2', '$2;b=2', '$1'),
('Properties', '{t,v}', NULL, 'traceparent=$2', 'traceparent=$2', NULL),
-- a path
('NULL', '{t,v,j}', '{otel}', NULL, '{"otel":{"traceparent":"$1","tracestate":"a=1"}}', NULL),
('NULL', '{b}', '{dbos,otel}', NULL,
    '{"dbos": {"otel": {"tracestate": "a=1", "traceparent": "$1"}}}', NULL),
('the empty string', '{t,v}', '{otel}', '', '{"otel":{"traceparent":"$1","tracestate":"a=1"}}',
    NULL),
('objects that are missing are made', '{t,v,j}', '{a,"b\"c"}', '{"x":1}',
 '{"x":1,"a":{"b\"c":{"traceparent":"$1","tracestate":"a=1"}}}', NULL),
('objects that are missing are made', '{b}', '{a,b}', '{"x": 1, "a": {}}',
 '{"a": {"b": {"tracestate": "a=1", "traceparent": "$1"}}, "x": 1}', NULL),
('a null on the way counts as missing', '{t,v,j}', '{a,b}', '{"a":null,"x":1}',
 '{"a":{"b":{"traceparent":"$1","tracestate":"a=1"}},"x":1}', NULL),
('a null on the way counts as missing', '{b}', '{a,b}', '{"a": null, "x": 1}',
 '{"a": {"b": {"tracestate": "a=1", "traceparent": "$1"}}, "x": 1}', NULL),
('an object at the path', '{t,v,j}', '{a}', '{"a":{"traceparent":"$2","y":1},"traceparent":0}',
 '{"a":{"traceparent":"$2","y":1},"traceparent":0}',
     '{"a":{"y":1,"traceparent":"$1","tracestate":"a=1"},"traceparent":0}'),
('an object at the path', '{b}', '{a}', '{"a": {"y": 1, "traceparent": "$2"}, "traceparent": 0}',
 '{"a": {"y": 1, "traceparent": "$2"}, "traceparent": 0}',
     '{"a": {"y": 1, "tracestate": "a=1", "traceparent": "$1"}, "traceparent": 0}'),
('a list of pairs is kept, and has no place', '{t,v,j}', '{a}', '{"a":[["traceparent","$2"]]}',
    '{"a":[["traceparent","$2"]]}', NULL),
('something else at the path', '{t,v,j,b}', '{a}', '{"a": "text"}', '{"a": "text"}', NULL),
('something else on the way', '{t,v,j,b}', '{a,b}', '{"a": [1]}', '{"a": [1]}', NULL),
('a key of the path that is there twice', '{t,v,j}', '{a}', '{"a":{},"a":{}}', '{"a":{},"a":{}}',
    NULL),
('something else at all', '{t,v,j,b}', '{a}', '[1]', '[1]', NULL),
('text that is not JSON', '{t,v}', '{a}', '$2', '$2', NULL);
SELECT is(pg_temp.payload(col, 'keep', replace(value, '$2', :'tp2'), path), kept,
          format('%s, in %s%s: keep', name, t.typname, ', with a path' || left(path, 0)))
  FROM payload_cases, unnest(cols) col, pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
 WHERE attrelid = 'payloads'::regclass AND attname = col ORDER BY n, col :from_1;
SELECT is(pg_temp.payload(col, 'replace', replace(value, '$2', :'tp2'), path),
    coalesce(replaced, kept),
          format('%s, in %s%s: replace', name, t.typname, ', with a path' || left(path, 0)))
  FROM payload_cases, unnest(cols) col, pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
 WHERE attrelid = 'payloads'::regclass AND attname = col ORDER BY n, col :from_1;
SELECT is(pg_temp.payload('v', 'keep', '{"a":"' || repeat('ä', 102) || '"}'),
          '{"a":"' || repeat('ä', 102) || '"}',
              'a varchar that would become too long is left alone') :from_1;
SELECT is(length(pg_temp.payload('v', 'keep', '{"a":"' || repeat('ä', 101) || '"}')), 147,
          'its length counts characters: one of 200 is not too long') :from_1;
SELECT is(pg_temp.payload('t', 'keep', '{"a":"' || repeat('x', 10000000) || '"}'),
          '{"a":"' || repeat('x', 10000000) || '","traceparent":"$1","tracestate":"a=1"}',
              'a payload of 10 MB') :from_1;
SELECT is(pg_temp.payload('t', 'keep', repeat('{"a":', 100000) || repeat('}', 100000)),
          repeat('{"a":', 100000) || repeat('}', 100000),
              'one that is nested too deep is left alone') :from_1;

-- ---- jsonb ----
CREATE TABLE docs (id int, data jsonb);
CREATE TRIGGER capture BEFORE INSERT OR UPDATE ON docs
    FOR EACH ROW EXECUTE FUNCTION otel.capture_trace_context('data');
CREATE FUNCTION pg_temp.captured(data jsonb) RETURNS jsonb LANGUAGE sql AS $$
    INSERT INTO docs VALUES (1, data) RETURNING docs.data $$;
SELECT is(pg_temp.captured('{"a": 1}'), '{"a": 1}' || :'carrier1'::jsonb,
    'an object gets the carrier') :from_1;
SELECT is(pg_temp.captured('{}'), :'carrier1'::jsonb, 'an empty object gets the carrier') :from_1;
SELECT is(pg_temp.captured(NULL), :'carrier1'::jsonb, 'NULL becomes the carrier') :from_1;
SELECT is(pg_temp.captured('{"a": 1}'), '{"a": 1}', 'without a context nothing is added');
SELECT is(pg_temp.captured('[1]'), '[1]', 'an array is left alone') :from_1;
SELECT is(pg_temp.captured('"text"'), '"text"', 'a string is left alone') :from_1;
SELECT is(pg_temp.captured('null'), :'carrier1'::jsonb, 'a JSON null counts as none') :from_1;
SELECT is(pg_temp.captured(:'carrier2'), :'carrier2'::jsonb,
    'a carrier that is there is kept, without our tracestate') :from_1;
SELECT is(pg_temp.captured(format('{"TraceParent": "%s"}', :'tp2')::jsonb),
    jsonb_build_object('TraceParent', :'tp2'), 'in any spelling') :from_1;
SELECT is(pg_temp.captured('{"traceparent": "nonsense", "tracestate": "b=2"}'), :'carrier1'::jsonb,
    'one that holds no context is replaced') :from_1;
SELECT is(pg_temp.captured('{"Traceparent": null, "TRACESTATE": "b=2", "x": {"traceparent": 1}}'),
    :'carrier1'::jsonb || '{"x": {"traceparent": 1}}', 'in any spelling, at the top') :from_1;
SELECT is(pg_temp.captured('{"tracestate": "b=2"}'), :'carrier1'::jsonb,
    'a tracestate without its traceparent is replaced') :from_1;
SELECT is(pg_temp.captured('{"tracestate": "b=2"}'), '{"tracestate": "b=2"}',
    'a tracestate stays where there is no context to replace it');
CREATE OR REPLACE TRIGGER capture BEFORE INSERT OR UPDATE ON docs
    FOR EACH ROW EXECUTE FUNCTION otel.capture_trace_context('data', 'replace');
SELECT is(pg_temp.captured('{"a": 1, "Traceparent": "x"}' || :'carrier2'::jsonb),
    '{"a": 1}' || :'carrier1'::jsonb, 'replace takes the place of all spellings') :from_1;
SELECT is(otel.extract(pg_temp.captured(:'carrier2'))::text, :'tp1' || ';a=1',
    'otel.extract() finds it') :from_1;
-- a value that is compressed and out of line
INSERT INTO docs SELECT 2,
    jsonb_object_agg('k' || i, md5(i::text)) FROM generate_series(1, 5000) i :from_1;
SELECT is((SELECT data - 'traceparent' - 'tracestate' = (SELECT jsonb_object_agg('k' || i,
    md5(i::text)) FROM generate_series(1, 5000) i) AND data @> :'carrier1'::jsonb FROM docs
    WHERE id = 2), true, 'a big document');
-- a document of 10 MB: in one string, in many keys, and where the context is put below a path
CREATE FUNCTION pg_temp.captured_beside(document jsonb) RETURNS boolean LANGUAGE sql AS $$
    INSERT INTO docs VALUES (4, document)
    RETURNING data - 'traceparent' - 'tracestate' = document
          AND otel.extract(data) = otel.current_trace_context() $$;
SELECT is(pg_temp.captured_beside(jsonb_build_object('a', repeat('x', 10000000))), true,
    'a document of 10 MB in one string gets the context, and loses nothing') :from_1;
SELECT is(pg_temp.captured_beside((SELECT jsonb_object_agg('key ' || i, repeat(md5(i::text), 3))
    FROM generate_series(1, 100000) i)), true,
    'a document of 10 MB in many keys gets the context, and loses nothing') :from_1;
CREATE TABLE nested_docs (data jsonb);
CREATE TRIGGER capture BEFORE INSERT ON nested_docs
    FOR EACH ROW EXECUTE FUNCTION otel.capture_trace_context('data', 'keep', '{b,otel}');
INSERT INTO nested_docs
    SELECT jsonb_build_object('a', repeat('x', 10000000), 'b', '{"c": 1}'::jsonb) :from_1;
SELECT is(data #- '{b,otel}',
    jsonb_build_object('a', repeat('x', 10000000), 'b', '{"c": 1}'::jsonb),
    'a document of 10 MB loses nothing beside a path') FROM nested_docs;
SELECT is(otel.extract(data, '{b,otel}')::text, :'tp1' || ';a=1',
    'a document of 10 MB has the context at the path') FROM nested_docs;
UPDATE docs SET id = 3
    WHERE id = 2 /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4732-00f067aa0ba902b7-01'*/;
SELECT is((SELECT otel.extract(data)::text FROM docs WHERE id = 3), :'tp2',
    'a big document gets its context again in UPDATE');

-- ---- a trigger on a partitioned table, and beside other triggers ----
CREATE TABLE parts (k int, trace_context otel.trace_context) PARTITION BY LIST (k);
CREATE TABLE parts_1 (trace_context otel.trace_context, dropped int, k int);
ALTER TABLE parts_1 DROP COLUMN dropped;
ALTER TABLE parts ATTACH PARTITION parts_1 FOR VALUES IN (1);
CREATE TRIGGER capture BEFORE INSERT ON parts
    FOR EACH ROW EXECUTE FUNCTION otel.capture_trace_context();
INSERT INTO parts VALUES (1) :from_1;
SELECT is(trace_context::text, :'tp1' || ';a=1', 'a partition with another order of columns')
    FROM parts;

-- ---- what can never work says so ----
CREATE TABLE wrong (id int, vc varchar(54), n int, j json, g text GENERATED ALWAYS AS ('x') STORED,
    gone text);
ALTER TABLE wrong DROP COLUMN gone;
CREATE FUNCTION pg_temp.complains(timing text, arguments text) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE message text; detail text;
    BEGIN
        EXECUTE format('CREATE TRIGGER t %s EXECUTE FUNCTION otel.capture_trace_context(%s)',
            timing, arguments);
        INSERT INTO wrong VALUES (1);
        DELETE FROM wrong;
        RETURN NULL;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
        RETURN SQLSTATE || ': ' || message;
    END $$;
SELECT is(pg_temp.complains('BEFORE INSERT ON wrong FOR EACH ROW', ''),
          '42703: column "trace_context" of relation "wrong" does not exist', 'a missing column');
SELECT is(pg_temp.complains('BEFORE INSERT ON wrong FOR EACH ROW', '''gone'''),
          '42703: column "gone" of relation "wrong" does not exist', 'a dropped column');
SELECT is(pg_temp.complains('BEFORE INSERT ON wrong FOR EACH ROW', '''ctid'''),
          '42703: column "ctid" of relation "wrong" does not exist', 'a system column');
SELECT is(pg_temp.complains('BEFORE INSERT ON wrong FOR EACH ROW', '''n'''),
          '42804: column "n" of relation "wrong" cannot hold a trace context', 'an integer');
SELECT is(pg_temp.complains('BEFORE INSERT ON wrong FOR EACH ROW', '''vc'''),
          '42804: column "vc" of relation "wrong" cannot hold a trace context',
              'a varchar that is too short');
SELECT is(pg_temp.complains('BEFORE INSERT ON wrong FOR EACH ROW', '''g'''),
          '42804: column "g" of relation "wrong" cannot hold a trace context',
              'a generated column');
SELECT is(pg_temp.complains('BEFORE INSERT ON wrong FOR EACH ROW', '''vc'', ''always'''),
          '22023: invalid argument for trigger "t": "always"',
    'a mode other than keep and replace is refused');
SELECT is(pg_temp.complains('BEFORE INSERT ON wrong FOR EACH ROW',
    '''j'', ''keep'', ''{a}'', ''x'''),
          '22023: trigger "t" has too many arguments',
    'a trigger with too many arguments is refused');
SELECT is(pg_temp.complains('BEFORE INSERT ON wrong FOR EACH ROW', '''j'', ''keep'', ''a'''),
          '22P02: malformed array literal: "a"', 'a path that is no array');
SELECT is(pg_temp.complains('BEFORE INSERT ON wrong FOR EACH ROW', '''j'', ''keep'', ''{a,NULL}'''),
          '22004: invalid argument for trigger "t": "{a,NULL}"', 'a path with NULL in it');
SELECT is(pg_temp.complains('AFTER INSERT ON wrong FOR EACH ROW', '''vc'''),
          '39P01: trigger "t" must be BEFORE INSERT or UPDATE, FOR EACH ROW', 'AFTER');
SELECT is(pg_temp.complains('BEFORE INSERT ON wrong FOR EACH STATEMENT', '''vc'''),
          '39P01: trigger "t" must be BEFORE INSERT or UPDATE, FOR EACH ROW', 'FOR EACH STATEMENT');
SELECT is(pg_temp.complains('BEFORE DELETE ON wrong FOR EACH ROW', '''vc'''),
          '39P01: trigger "t" must be BEFORE INSERT or UPDATE, FOR EACH ROW', 'DELETE');
SELECT throws_ok('SELECT otel.capture_trace_context()', NULL, NULL, 'called as no trigger');

-- every spelling of the headers' names
CREATE FUNCTION pg_temp.spellings(name text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT string_agg(CASE WHEN bits >> (place::int - 1) & 1 = 1 THEN upper(letter) ELSE letter END,
        '' ORDER BY place)
      FROM generate_series(0, (1 << length(name)) - 1) AS bits,
           regexp_split_to_table(name, '') WITH ORDINALITY AS letters (letter, place)
     GROUP BY bits $$;
CREATE TABLE spelled (data jsonb);
CREATE TRIGGER t BEFORE INSERT ON spelled FOR EACH ROW
    EXECUTE FUNCTION otel.capture_trace_context('data');
SELECT otel.set_trace_context('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01');
INSERT INTO spelled
    SELECT jsonb_object_agg(name, 1) || '{"": 1, "other": {"traceparent": 2}, "z": [3]}'
  FROM (SELECT pg_temp.spellings('traceparent') UNION ALL
      SELECT pg_temp.spellings('tracestate')) AS s (name);
SELECT is(data, '{"": 1, "other": {"traceparent": 2}, "z": [3],
                  "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}',
          'of all 3,072 spellings only ours is left, and the rest of the object as it was')
              FROM spelled;

-- what turns capture off
SET otel.propagators = 'none';
SELECT lives_ok($$ SELECT otel.start_span('a job') $$);
INSERT INTO spelled VALUES ('{}');
SELECT otel.discard_span();
RESET otel.propagators;
SELECT is(count(*), 1::bigint,
    'with otel.propagators = none nothing is captured, not even from a span') FROM spelled
    WHERE data = '{}';

SELECT * FROM finish();
ROLLBACK;
