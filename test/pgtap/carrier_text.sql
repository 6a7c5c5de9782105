-- otel.extract() of what applications keep as text or json, with and without a path: it reads every
-- form that is in use, and never raises.
\set QUIET on
SET client_min_messages = warning;
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS otel_links;

-- $tp stands for a valid traceparent, \n for a line's end
CREATE TEMPORARY TABLE cases (
    n int GENERATED ALWAYS AS IDENTITY, name text, carrier text, path text[], expected text
);
INSERT INTO cases (name, carrier, path, expected) VALUES
('NULL', NULL, NULL, NULL),
('the empty string', '', NULL, NULL),
('some text', 'not a context', NULL, NULL),
('a traceparent', '$tp', NULL, '$tp'),
('white space around it', E' $tp\t', NULL, '$tp'),
('the type''s text form', '$tp;a=1,b=2', NULL, '$tp;a=1,b=2'),
('with an invalid tracestate', '$tp;A=1', NULL, '$tp'),
('a traceparent of a later version',
    'cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more;a=1', NULL, '$tp'),
('a traceparent and more', '$tp and more', NULL, NULL),
-- JSON objects
('an object', '{"traceparent": "$tp", "tracestate": "a=1"}', NULL, '$tp;a=1'),
('white space around an object', E' \n{"traceparent":"$tp"}\n', NULL, '$tp'),
('names in any case', '{"TraceParent": "$tp", "TRACESTATE": "a=1"}', NULL, '$tp;a=1'),
('names with escapes', '{"trace\u0070arent": "$tp", "tracestat\u0065": "a\u003d1"}', NULL,
    '$tp;a=1'),
('a traceparent in an array of one', '{"traceparent": ["$tp"]}', NULL, '$tp'),
('a traceparent in an array of two', '{"traceparent": ["$tp", "$tp"]}', NULL, NULL),
('a traceparent in an array in an array', '{"traceparent": [["$tp"]]}', NULL, NULL),
('several tracestates are one list', '{"traceparent": "$tp", "tracestate": ["a=1", "", "b=2,c=3"]}',
    NULL, '$tp;a=1,b=2,c=3'),
('a tracestate that is no string is dropped', '{"traceparent": "$tp", "tracestate": {"a": 1}}',
    NULL, '$tp'),
('a tracestate with null in its list is dropped',
    '{"traceparent": "$tp", "tracestate": ["a=1", null]}', NULL, '$tp'),
('a traceparent twice, which jsonb would not see', '{"traceparent": "$tp", "traceparent": "$tp"}',
    NULL, NULL),
('a traceparent in two spellings', '{"traceparent": "$tp", "Traceparent": null}', NULL, NULL),
('a tracestate twice is dropped',
    '{"traceparent": "$tp", "tracestate": "a=1", "tracestate": "b=1"}', NULL, '$tp'),
('a traceparent that is null', '{"traceparent": null}', NULL, NULL),
('an invalid traceparent', '{"traceparent": "$tp-x"}', NULL, NULL),
('an object that ends early', '{"traceparent": "$tp"', NULL, NULL),
('an object and more', '{"traceparent": "$tp"} {}', NULL, NULL),
('an object with single quotes', '{''traceparent'': ''$tp''}', NULL, NULL),
('a number that jsonb cannot hold', '{"n": 1e999999, "traceparent": "$tp"}', NULL, '$tp'),
('a character that text cannot hold', '{"n": "\u0000", "traceparent": "$tp"}', NULL, '$tp'),
('half a surrogate pair', '{"n": "\ud83d", "traceparent": "$tp"}', NULL, '$tp'),
('nested 100,000 deep', repeat('[', 100000) || repeat(']', 100000), NULL, NULL),
('a payload of 10 MB', '{"n": "' || repeat('x', 10000000) || '", "traceparent": "$tp"}', NULL,
    '$tp'),
('10 MB that are not JSON', '{' || repeat('x', 10000000), NULL, NULL),
('a string', '"$tp"', NULL, NULL),
('null', 'null', NULL, NULL),
-- lists of pairs
('Active Job''s list of pairs', '[["traceparent","$tp"],["tracestate","a=1"]]', NULL, '$tp;a=1'),
('with other pairs',
    '[["x", {}], ["traceparent", "$tp"], 1, [], ["tracestate"], {"traceparent": 1}]', NULL, '$tp'),
('a pair of three', '[["traceparent", "$tp", "$tp"]]', NULL, NULL),
('a pair twice', '[["traceparent", "$tp"], ["traceparent", "$tp"]]', NULL, NULL),
('a list that is one pair', '["traceparent", "$tp"]', NULL, NULL),
('a list of objects', '[{"traceparent": "$tp"}]', NULL, NULL),
-- java.util.Properties
('Debezium''s Properties', E'#Wed Nov 25 20:00:00 UTC 2026\ntraceparent=$tp\n', NULL, '$tp'),
('with a tracestate', E'tracestate=a\\=1,b\\=2\r\ntraceparent=$tp\r\n', NULL, '$tp;a=1,b=2'),
('with white space, a colon and other keys', E'! c\n  traceparent : $tp\nkey value\n\nempty\n',
    NULL, '$tp'),
('a line that goes on', E'trace\\\n   parent=$tp', NULL, '$tp'),
('a key with an escape', E'trace\\parent=$tp\nb\\=traceparent=x', NULL, '$tp'),
('in a comment', E'#traceparent=$tp', NULL, NULL),
('twice', E'traceparent=$tp\ntraceparent=$tp', NULL, NULL),
('in another key''s value', E'x=traceparent=$tp', NULL, NULL),
('a backslash at the end', E'traceparent=$tp\\', NULL, '$tp'),
-- paths
('an object at a path', '{"a": {"b c": {"traceparent": "$tp"}}}', '{a,"b c"}', '$tp'),
('a list of pairs at a path', '{"job_class": "Report", "__otel_headers": [["traceparent", "$tp"]]}',
    '{__otel_headers}', '$tp'),
('an empty path', '{"traceparent": "$tp"}', '{}', '$tp'),
('a key in another case', '{"A": {"traceparent": "$tp"}}', '{a}', NULL),
('a key with an escape', '{"\u00e9": {"traceparent": "$tp"}}', '{é}', '$tp'),
('nothing there', '{"a": {}}', '{a,b}', NULL),
('a string at the path', '{"a": "$tp"}', '{a}', NULL),
('a null on the way', '{"a": null}', '{a,b}', NULL),
('an array on the way', '{"a": [{"traceparent": "$tp"}]}', '{a,0}', NULL),
('a key with NULL in its place', '{"a": {"traceparent": "$tp"}}', '{a,NULL}', NULL),
('text that is not JSON, with a path', '$tp', '{a}', NULL),
('the carrier beside the path', '{"traceparent": "$tp", "a": {}}', '{a}', NULL);
UPDATE cases SET carrier = replace(carrier, '$tp', tp), expected = replace(expected, '$tp', tp)
  FROM (VALUES ('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01')) v(tp);

-- valid for PostgreSQL, as jsonb
CREATE FUNCTION pg_temp.as_jsonb(value text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN value::jsonb;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;
CREATE FUNCTION pg_temp.as_json(value text) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
    RETURN value::json;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;

SELECT plan(4 * count(*)::int - count(path)::int + 9) FROM cases;

SELECT is(CASE WHEN path IS NULL THEN otel.extract(carrier) ELSE otel.extract(carrier, path)
    END::text,
          expected, 'text: ' || name) FROM cases ORDER BY n;
SELECT is(CASE WHEN path IS NULL THEN otel.extract(json) ELSE otel.extract(json, path) END::text,
          CASE WHEN json IS NOT NULL THEN expected END, 'json: ' || name)
  FROM cases, pg_temp.as_json(carrier) json ORDER BY n;
-- jsonb keeps the last of two members of one name
SELECT is(CASE WHEN path IS NULL THEN otel.extract(jsonb) ELSE otel.extract(jsonb, path) END::text,
          CASE WHEN jsonb IS NULL THEN NULL
               WHEN name ~ '^a traceparent twice' THEN jsonb ->> 'traceparent'
               WHEN name ~ '^a tracestate twice' THEN expected || ';b=1'
               ELSE expected END, 'jsonb: ' || name)
  FROM cases, pg_temp.as_jsonb(carrier) jsonb ORDER BY n;
SELECT is(otel.from_traceparent(carrier)::text,
    CASE WHEN carrier ~ '^\s*(00|cc)-' THEN expected END,
          'from_traceparent: ' || name) FROM cases WHERE path IS NULL;

SELECT is(otel.from_traceparent('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01;a=1',
    'b=2')::text,
          '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01;a=1',
          'from_traceparent: a tracestate that comes from elsewhere is not paired with the text '
              'form');
SELECT is(otel.extract(c::text), c, 'what a cast to text shows is read back')
  FROM (VALUES (
      '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff;a="\,b=2'::otel.trace_context)) v(c);
SELECT is(otel.extract(otel.inject(c)::text), c, 'a carrier as text is read back')
  FROM (VALUES (
      '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01;a="\,b=2'::otel.trace_context)) v(c);
SELECT is(otel.extract(
    '{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}')::text,
          '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', 'a literal needs no cast');
SELECT is(otel.extract(
    '{"a": {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}',
    '{a}')::text,
          '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    'a literal with a path needs no cast');

-- our reader of JSON text beside PostgreSQL's: pieces put together at random
SELECT setseed(0.42);
CREATE TEMPORARY TABLE pieces AS SELECT i, string_agg(piece, '' ORDER BY j) AS value
  FROM generate_series(1, 20000) i,
       LATERAL (SELECT j,
           (ARRAY['{', '}', '[', ']', ',', ':', '"a"', '"\u0041\n"', '"traceparent"', 'null',
           'true', '1',
           '-0.5e+7', '"', '\', ' ', E'\n',
               '"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"', '{"a":1}',
           '[1,2]', '{}', '"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"',
           '{"x":'])[1 + floor(random() * 23 + i * 0)] AS piece
           FROM generate_series(1, 1 + i % 7) j) p
 GROUP BY i;
INSERT INTO pieces SELECT i + 20000, '{' || value || '}' FROM pieces;
SELECT cmp_ok(count(*), '>', 1000::bigint, 'hundreds of texts put together at random are JSON')
  FROM pieces, pg_temp.as_json(value) json WHERE json IS NOT NULL;
SELECT is(count(*), 0::bigint, 'texts that are JSON are read as PostgreSQL reads them as jsonb')
  FROM pieces, pg_temp.as_jsonb(value) jsonb
 WHERE jsonb IS NOT NULL AND (otel.extract(value)::text, otel.extract(value, '{x}')::text)
       IS DISTINCT FROM (otel.extract(jsonb)::text, otel.extract(jsonb, '{x}')::text)
   AND (length(value) - length(replace(value, '"traceparent"', ''))) <= 13;
SELECT is(count(*), 0::bigint, 'nothing is read from a text that is not JSON for PostgreSQL')
  FROM pieces WHERE pg_temp.as_json(value) IS NULL AND otel.extract(value) IS NOT NULL;

-- every function that takes contexts, from a column of text, by one expression
CREATE TEMPORARY TABLE texts (id int, tp text);
INSERT INTO texts VALUES (1, '00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01'),
    (2, '00-4bf92f3577b34da6a3ce929d0e0e4732-00f067aa0ba902b7-01'), (3, NULL), (4, ''),
        (5, 'nonsense');
SELECT is(concat_ws(' ',
        (SELECT count(*) FROM texts WHERE otel.trace_id(otel.from_traceparent(tp)) IS NOT NULL),
        (SELECT cardinality(otel.link_agg(otel.from_traceparent(tp))) FROM texts),
        (SELECT count(*)
            FROM otel.span_contexts((SELECT array_agg(otel.from_traceparent(tp)) FROM texts))),
        (SELECT jsonb_array_length(otel.links_json(otel.link_agg(otel.from_traceparent(tp))))
            FROM texts),
        (SELECT otel.start_span('a job',
            links => otel.link_agg(otel.from_traceparent(tp))) IS NOT NULL FROM texts)),
    '2 2 2 2 t',
        'every function that takes contexts is reached from text by otel.from_traceparent()');

SELECT * FROM finish();
ROLLBACK;
