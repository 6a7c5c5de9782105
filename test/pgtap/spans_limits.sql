-- OpenTelemetry's limits for a span's attributes, events and links, and what became of the rest.
\set QUIET on
SELECT format('ALTER DATABASE %I SET otel.traces_exporter = none', current_database()) \gexec
\c
SELECT plan(35);

CREATE FUNCTION pg_temp.keys(n int) RETURNS jsonb LANGUAGE sql AS
$$ SELECT jsonb_object_agg(format('key%s', lpad(i::text, 3, '0')), i)
  FROM generate_series(1, n) i $$;
-- n links to n traces; those at the positions given are sampled
CREATE FUNCTION pg_temp.links(n int, sampled int[] DEFAULT NULL,
    attributes jsonb DEFAULT NULL) RETURNS otel.span_link[] LANGUAGE sql AS
$$ SELECT array_agg(otel.span_link(otel.from_ids(lpad(to_hex(i), 32, '0'), lpad(to_hex(i), 16, '0'),
                                                 CASE WHEN sampled IS NULL OR i = ANY (sampled)
                                                     THEN 1 ELSE 0 END), attributes) ORDER BY i)
     FROM generate_series(1, n) i $$;
-- which of them a span has
CREATE FUNCTION pg_temp.kept(links otel.span_link[]) RETURNS int[] LANGUAGE sql AS
$$ SELECT array_agg(('x' || otel.span_id(l.context))::bit(64)::bigint::int ORDER BY o)
  FROM unnest(links) WITH ORDINALITY l(context, attributes, o) $$;

-- attributes
BEGIN;
SELECT otel.start_span('128 attributes', attributes => pg_temp.keys(130)) IS NOT NULL \g /dev/null
SELECT otel.set_attributes('{"one more": 1, "key001": "new"}');
SELECT otel.end_span();
COMMIT;
SELECT is((SELECT count(*) FROM jsonb_object_keys(attributes)), 128::bigint,
    'a span has 128 attributes') FROM otel.span_queue;
SELECT is(dropped_attributes_count, 3, 'the others are counted') FROM otel.span_queue;
SELECT is(attributes ->> 'key001', 'new', 'a key that is there gets a new value all the same')
  FROM otel.span_queue;
TRUNCATE otel.span_queue;
SET otel.span_attribute_count_limit = 4;
BEGIN;
SELECT otel.start_span('full', attributes => '{"b": 1, "dd": 2}') IS NOT NULL \g /dev/null
SELECT otel.set_attributes(
    '{"a": [1, {"x": null}], "b": {"y": [true]}, "c": {}, "d": 4, "dd": "new", "eee": 5}');
SELECT otel.set_attributes('{"zz": 6, "yy": 7}');
SELECT otel.set_attributes('{"eee": 8, "a": 9, "zzz": 10}');
SET LOCAL otel.span_attribute_count_limit = 1;
SELECT otel.set_attributes('{"c": 11, "f": 12}');
SELECT otel.end_span();
COMMIT;
RESET otel.span_attribute_count_limit;
SELECT is(attributes, '{"a": 9, "b": {"y": [true]}, "c": 11, "dd": "new"}',
    'new keys have the room that is left, keys that are there always') FROM otel.span_queue;
SELECT is(dropped_attributes_count, 7, 'whatever is dropped is counted') FROM otel.span_queue;
TRUNCATE otel.span_queue;
SET otel.attribute_count_limit = 2;
SET otel.attribute_value_length_limit = 3;
SELECT otel.record_span('general limits', now(),
    attributes => '{"a": "ÄÖÜß", "b": ["abcd", {"c": "defg"}], "c": 1}') IS NOT NULL \g /dev/null
SET otel.span_attribute_count_limit = 1;
SET otel.span_attribute_value_length_limit = 0;
SELECT otel.record_span('own limits', now(), attributes => '{"a": "ÄÖÜß", "b": 1}')
    IS NOT NULL \g /dev/null
SET otel.span_attribute_count_limit = 0;
SELECT otel.record_span('nothing', now(), attributes => '{"a": "ÄÖÜß", "b": 1}')
    IS NOT NULL \g /dev/null
RESET otel.attribute_count_limit;
RESET otel.attribute_value_length_limit;
RESET otel.span_attribute_count_limit;
RESET otel.span_attribute_value_length_limit;
SELECT is(attributes, '{"a": "ÄÖÜ", "b": ["abc", {"c": "def"}]}',
    'strings are cut by characters, within arrays and objects too') FROM otel.span_queue
    WHERE name = 'general limits';
SELECT is(dropped_attributes_count, 1, 'the general limit counts') FROM otel.span_queue
 WHERE name = 'general limits';
SELECT is(attributes, '{"a": ""}', 'the span''s own limits come before the general ones')
  FROM otel.span_queue WHERE name = 'own limits';
SELECT is(attributes, '{}', 'a limit of 0 leaves none') FROM otel.span_queue WHERE name = 'nothing';
SELECT is(dropped_attributes_count, 2,
    'with a limit of 0 all attributes are counted as dropped') FROM otel.span_queue
 WHERE name = 'nothing';
TRUNCATE otel.span_queue;

-- events
BEGIN;
SELECT otel.start_span('128 events') IS NOT NULL \g /dev/null
SELECT otel.add_event(i::text, pg_temp.keys(CASE i WHEN 130 THEN 129 END))
  FROM generate_series(1, 130) i \g /dev/null
SELECT otel.end_span();
COMMIT;
SELECT is(cardinality(events), 128, 'a span has 128 events') FROM otel.span_queue;
SELECT is(dropped_events_count, 2, 'the others are counted') FROM otel.span_queue;
SELECT is(events[1].name || '-' || events[128].name, '3-130', 'the oldest are dropped')
  FROM otel.span_queue;
SELECT is((SELECT count(*) FROM jsonb_object_keys(events[128].attributes)), 128::bigint,
    'an event has 128 attributes') FROM otel.span_queue;
SELECT is(events[128].dropped_attributes_count, 1, 'the others are counted') FROM otel.span_queue;
TRUNCATE otel.span_queue;
SET otel.span_event_count_limit = 0;
BEGIN;
SELECT otel.start_span('no events') IS NOT NULL \g /dev/null
SELECT otel.add_event('one'), otel.add_event('two') \g /dev/null
SELECT otel.end_span();
COMMIT;
RESET otel.span_event_count_limit;
SELECT is(format('%s %s', events, dropped_events_count), ' 2', 'a limit of 0 leaves no event')
  FROM otel.span_queue;
TRUNCATE otel.span_queue;

-- links
SET otel.link_overflow = drop;
BEGIN;
SELECT otel.start_span('128 links', links => pg_temp.links(100)) IS NOT NULL \g /dev/null
SELECT otel.add_links(pg_temp.links(30)), otel.add_links(NULL), otel.add_links('{}') \g /dev/null
SELECT otel.end_span();
COMMIT;
SELECT is(cardinality(links::otel.span_link[]), 128, 'a span has 128 links') FROM otel.span_queue;
SELECT is(dropped_links_count, 2, 'the others are counted') FROM otel.span_queue;
TRUNCATE otel.span_queue;
SET otel.span_link_count_limit = 3;
SELECT otel.record_span('sampled first', now(), links => pg_temp.links(6, '{2,5}'))
    IS NOT NULL \g /dev/null
SELECT is(pg_temp.kept(links), '{1,2,5}', 'links to sampled traces are kept first, in their order')
  FROM otel.span_queue;
SELECT is(dropped_links_count, 3, 'the others are counted') FROM otel.span_queue;
TRUNCATE otel.span_queue;
SELECT otel.record_span('exactly', now(), links => pg_temp.links(3)) IS NOT NULL \g /dev/null
SELECT is(dropped_links_count, 0,
    'a span with as many links as the limit drops none') FROM otel.span_queue;
SET otel.link_attribute_count_limit = 1;
SELECT otel.record_span('attributes of links', now(),
    links => pg_temp.links(1, attributes => '{"a": 1, "b": 2}') || pg_temp.links(1))
    IS NOT NULL \g /dev/null
RESET otel.link_attribute_count_limit;
SELECT is(links::jsonb -> 0 -> 'attributes', '{"a": 1}', 'attributes of a link have a limit')
  FROM otel.span_queue WHERE name = 'attributes of links';
SELECT is(jsonb_path_query_array(links::jsonb, '$[*] ? (exists (@.droppedAttributesCount))'),
          jsonb_path_query_array(links::jsonb, '$[0] ? (@.droppedAttributesCount == 1)'),
          'the others are counted for each link')
  FROM otel.span_queue WHERE name = 'attributes of links';
TRUNCATE otel.span_queue;
SET otel.span_link_count_limit = 0;
SELECT otel.record_span('no links', now(), links => pg_temp.links(3)) IS NOT NULL \g /dev/null
SELECT is(format('%s %s', links, dropped_links_count), ' 3', 'a limit of 0 leaves no link')
  FROM otel.span_queue;
TRUNCATE otel.span_queue;

-- link_overflow = split: no link is lost
SET otel.span_link_count_limit = 3;
SET otel.link_overflow = split;
BEGIN;
SELECT otel.start_span('split', kind => 'consumer', links => pg_temp.links(7, '{7}'),
    attributes => '{"a": 1}') AS split \gset
SELECT otel.add_event('event');
SELECT otel.end_span('error', 'failed');
COMMIT;
SELECT is(count(*), 3::bigint, 'seven links by three are three spans') FROM otel.span_queue;
SELECT is(array_agg(pg_temp.kept(links)::text ORDER BY ctid), ARRAY['{1,2,3}', '{4,5,6}', '{7}'],
    'the three parts have all links in their order') FROM otel.span_queue;
SELECT is(sum(dropped_links_count), 0::bigint, 'none is dropped') FROM otel.span_queue;
SELECT is(array_agg(name ORDER BY ctid),
    '{split,"split (links, part 2 of 3)","split (links, part 3 of 3)"}',
    'the names of the further parts say what they are') FROM otel.span_queue;
SELECT is(array_agg(DISTINCT kind), ARRAY[5::int2], 'the parts have the span''s kind')
  FROM otel.span_queue;
SELECT ok(count(DISTINCT (start_time, end_time)) = 1,
    'the parts have the span''s times') FROM otel.span_queue;
SELECT is(array_agg(attributes ORDER BY ctid),
    ARRAY['{"a": 1, "otel_links.part.index": 1, "otel_links.part.count": 3}',
          '{"otel_links.part.index": 2, "otel_links.part.count": 3}',
              '{"otel_links.part.index": 3, "otel_links.part.count": 3}']::jsonb[],
          'part.index and part.count are on each') FROM otel.span_queue;
SELECT is(array_agg(coalesce(parent_span_id, 'none') ORDER BY ctid),
    ARRAY['none', otel.span_id(:'split'), otel.span_id(:'split')],
          'the further parts are children of the span') FROM otel.span_queue;
SELECT ok(count(DISTINCT otel.span_id(context)) = 3 AND count(DISTINCT otel.trace_id(context)) = 1
    AND NOT bool_or(parent_is_remote),
    'the parts have ids of their own in the trace of the span') FROM otel.span_queue;
SELECT is(array_agg(format('%s %s %s', status_code, status_message, cardinality(events))
    ORDER BY ctid), ARRAY['2 failed 1', '0  ', '0  '],
          'status and events are told once') FROM otel.span_queue;
TRUNCATE otel.span_queue;
SELECT otel.record_span('not split', now(), links => pg_temp.links(3)) IS NOT NULL \g /dev/null
SELECT is(array_agg(attributes), ARRAY[NULL]::jsonb[],
    'what is within the limit is one span and has no part') FROM otel.span_queue;
SELECT * FROM finish();
