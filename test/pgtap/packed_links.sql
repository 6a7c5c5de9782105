-- The links of a span in the queue, as SQL reads them: otel.packed_links.
\set QUIET on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS otel_links;

BEGIN;
SELECT plan(67);

CREATE FUNCTION context(n int, state text DEFAULT '') RETURNS otel.trace_context
LANGUAGE sql IMMUTABLE AS $$
    SELECT (format('00-%s-%s-01', lpad(to_hex(n), 32, '0'), lpad(to_hex(n), 16, '0'))
            || state)::otel.trace_context
$$;
CREATE TABLE kinds (name text, links otel.span_link[]);
INSERT INTO kinds VALUES
    ('no links', '{}'),
    ('contexts', ARRAY[otel.span_link(context(1)), otel.span_link(context(2))]),
    ('a tracestate', ARRAY[otel.span_link(context(1, ';a=1')), otel.span_link(context(2))]),
    ('attributes', ARRAY[otel.span_link(context(1)),
                         otel.span_link(context(2), '{"a": [1, "x"]}')]),
    ('empty attributes', ARRAY[otel.span_link(context(1), '{}'), otel.span_link(context(2))]),
    ('both', ARRAY[otel.span_link(context(1), '{"a": "é"}'), otel.span_link(context(2, ';b=2'))]),
    ('many', (SELECT array_agg(otel.span_link(context(i), jsonb_build_object('i', i)))
                FROM generate_series(1, 1000) AS i));

-- ---- casts ----
SELECT is(links::otel.packed_links::otel.span_link[], links, name || ': casts lose nothing')
  FROM kinds;
SELECT is(otel.links_json(links::otel.packed_links, 1000), links::otel.packed_links::jsonb,
    name || ': jsonb has the form of links_json') FROM kinds;
SELECT is(links::otel.packed_links::text::jsonb, links::otel.packed_links::jsonb,
    name || ': the text is that JSON') FROM kinds;
SELECT is(convert_from(otel.packed_links_send(links::otel.packed_links), 'UTF8')::jsonb,
    links::otel.packed_links::jsonb, 'a client that asks for binary gets it too')
  FROM kinds WHERE name = 'both';
SELECT is(ARRAY[NULL, otel.span_link(NULL), otel.span_link(context(1)),
                ROW(NULL, '{"a": 1}')::otel.span_link]::otel.packed_links::otel.span_link[],
    ARRAY[otel.span_link(context(1))], 'NULL elements and links without a context are left out');
SELECT throws_ok($$SELECT ARRAY[ROW(context(1), '[1]')::otel.span_link]::otel.packed_links$$,
    '22023', 'attributes of a link must be a JSON object', 'attributes must be an object');
SELECT is(pg_column_size(links::otel.packed_links), 4 + 1 + 2 * 25,
    'a link that is only a context takes 25 bytes') FROM kinds WHERE name = 'contexts';
SELECT is(pg_typeof(otel.link_agg(links::otel.packed_links))::text, 'otel.span_link[]',
    'link_agg takes them as they are') FROM kinds;
SELECT is(otel.links_to(links::otel.packed_links, otel.trace_id(context(2))), links[2:2],
    name || ': links_to finds the link') FROM kinds WHERE name IN ('contexts', 'both');
SELECT is(otel.links_to(links::otel.packed_links, otel.trace_id(context(7))), NULL,
    'links_to finds none') FROM kinds WHERE name = 'contexts';
SELECT throws_ok($$SELECT otel.links_to(links::otel.packed_links, 'x') FROM kinds$$, '22P02',
    'invalid trace id: "x"', 'links_to refuses what is no trace id');

-- ---- the queue ----
SELECT is((SELECT count(*) FROM pg_attribute
            WHERE attrelid IN ('otel.span_queue'::regclass, 'otel.failed_spans'::regclass,
                               'otel.exported_spans'::regclass)
              AND attname = 'links' AND atttypid = 'otel.packed_links'::regtype), 3::bigint,
    'the three tables of spans have them');
CREATE TABLE copied AS SELECT links::otel.packed_links AS links FROM kinds WHERE name = 'both';
INSERT INTO otel.failed_spans (origin_system, start_time, end_time, origin_database,
    dropped_attributes_count, dropped_events_count, dropped_links_count, kind, status_code,
    parent_is_remote, context, name, links, failed_at, error)
SELECT 0, now(), now(), 0, 0, 0, 0, 1, 0, false, context(9), 'by hand', links, now(), ''
  FROM kinds WHERE name = 'both';
SELECT is((SELECT links::text FROM otel.failed_spans), (SELECT links::text FROM copied),
    'an array is assigned to the column');

-- ---- the text, as in dumps, COPY and the initial copy of a subscription ----
SELECT is(links::otel.packed_links::text::otel.packed_links::text,
    links::otel.packed_links::text, name || ': the text is read back') FROM kinds;
SELECT is(text::otel.packed_links::text, text, 'it says what limits left out, and what is local')
  FROM (VALUES ('[{"context": {"traceId": "0af7651916cd43dd8448eb211c80319c", '
      '"spanId": "b7ad6b7169203331", "traceFlags": 255, "traceState": "a=\"1\"", '
      '"isRemote": false}, "attributes": {"a": 1}, "droppedAttributesCount": 2147483647}]'))
       v (text);
CREATE FUNCTION problem(link text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    problem text;
BEGIN
    link := replace(link, 'IDS',
        '"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331"');
    PERFORM link::otel.packed_links;
    RETURN 'none';
EXCEPTION WHEN invalid_text_representation THEN
    GET STACKED DIAGNOSTICS problem = PG_EXCEPTION_DETAIL;
    RETURN problem;
END
$$;
SELECT is(problem(link), expected, link)
  FROM (VALUES
    ('[', 'The input string ended unexpectedly.'),
    ('{}', 'It must be a JSON array of links.'),
    ('1', 'It must be a JSON array of links.'),
    ('[]', 'none'),
    ('[{"context": {IDS}}]', 'none'),
    ('[[]]', 'A link must be an object with a context, which is an object.'),
    ('[1]', 'A link must be an object with a context, which is an object.'),
    ('[{}]', 'A link must be an object with a context, which is an object.'),
    ('[{"context": []}]', 'A link must be an object with a context, which is an object.'),
    ('[{"context": {}}]', 'traceId and spanId of a context must be strings.'),
    ('[{"context": {"traceId": "1", "spanId": "2"}}]',
        'A traceparent of version 00 has exactly 55 characters, '
            'one of a later version at least 55.'),
    ('[{"context": {"traceId": "00000000000000000000000000000000", "spanId": "b7ad6b7169203331"}}]',
        'The trace-id must not be all zeros.'),
    ('[{"context": {IDS, "traceFlags": 256}}]',
        'traceFlags of a context must be a number from 0 to 255.'),
    ('[{"context": {IDS, "traceFlags": 1.5}}]',
        'traceFlags of a context must be a number from 0 to 255.'),
    ('[{"context": {IDS, "traceFlags": 1e99}}]',
        'traceFlags of a context must be a number from 0 to 255.'),
    ('[{"context": {IDS, "traceFlags": "1"}}]',
        'traceFlags of a context must be a number from 0 to 255.'),
    ('[{"context": {IDS, "traceState": 1}}]', 'traceState of a context must be a string.'),
    ('[{"context": {IDS, "traceState": "x"}}]',
        'A tracestate member must be a key and a value with "=" between them.'),
    ('[{"context": {IDS, "isRemote": 1}}]', 'isRemote of a context must be true or false.'),
    ('[{"context": {IDS}, "attributes": [1]}]', 'attributes of a link must be an object.'),
    ('[{"context": {IDS}, "droppedAttributesCount": -1}]',
        'droppedAttributesCount of a link must be a whole number that is not negative.')
  ) v (link, expected);
SELECT is(to_jsonb(k) -> 'links', links::jsonb, 'to_jsonb() of a row has them as JSON')
  FROM copied k;

-- ---- values that are truncated, as by damage to a file: an error and nothing else ----
CREATE CAST (bytea AS otel.packed_links) WITHOUT FUNCTION;
CREATE CAST (otel.packed_links AS bytea) WITHOUT FUNCTION;
CREATE FUNCTION reads(value bytea) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN cardinality(value::otel.packed_links::otel.span_link[]) || ' links';
EXCEPTION WHEN data_corrupted THEN
    RETURN SQLERRM;
END
$$;
CREATE VIEW prefixes AS
SELECT name, n, length(bytes) AS full_length, substring(bytes FROM 1 FOR n) AS bytes
  FROM (SELECT name, links::otel.packed_links::bytea AS bytes FROM kinds
         WHERE name NOT IN ('many', 'no links')) AS k, generate_series(0, length(bytes)) AS n;
SELECT is(array_agg(DISTINCT reads(bytes) ORDER BY reads(bytes)),
    ARRAY['0 links', '1 links', '2 links', 'the links of a span in the queue are truncated'],
    'a value that is cut short has fewer links or is refused') FROM prefixes;
SELECT is(count(*) FILTER (WHERE reads(bytes) = '2 links'), count(DISTINCT name),
    'it has all of them only when it is whole') FROM prefixes;
SELECT ok(bool_and(reads(overlay(bytes PLACING '\xffffffff' FROM 2 FOR 4))
                   = 'the links of a span in the queue are truncated'),
    'a length beyond the end is refused')
  FROM (SELECT links::otel.packed_links::bytea AS bytes FROM kinds
         WHERE name = 'a tracestate') AS k;
SELECT is(reads('\x10'), 'the links of a span in the queue have unknown parts',
    'a part of a later version is refused');
-- bytes at random, without attributes, whose bytes are jsonb's own
SELECT setseed(0.5);
SELECT ok(bool_and(reads(set_byte(bytes, 0, get_byte(bytes, 0) & 13)) ~ 'links'),
    'any bytes are read or refused')
  FROM (SELECT decode(string_agg(lpad(to_hex((random() * 255)::int), 2, '0'), ''), 'hex') AS bytes
          FROM generate_series(1, 200000) AS i GROUP BY i % 2000) AS random;
SELECT * FROM finish();
ROLLBACK;
