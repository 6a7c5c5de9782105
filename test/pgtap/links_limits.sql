-- What a recorded span keeps of many links, and of a link's attributes.
\set QUIET on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS otel_links;
SET otel.traces_exporter = none;
SELECT plan(41);

-- Item i of n: every third trace is not sampled, every fifth item shares the trace of the item
-- before.
CREATE TABLE item AS
SELECT i AS id,
    otel.from_ids(md5((i - (i % 5 = 0)::int)::text), lpad(to_hex(i), 16, '0'), (i % 3 > 0)::int)
    AS trace_context
  FROM generate_series(1, 1000) AS i;

-- The rows of the queue since the last call, each with the items that it is linked to.
CREATE FUNCTION recorded() RETURNS TABLE (part int, of int, items int[], dropped int,
    span otel.span_queue) LANGUAGE sql AS $$
    WITH taken AS (DELETE FROM otel.span_queue RETURNING *)
    SELECT (attributes ->> 'otel_links.part.index')::int,
        (attributes ->> 'otel_links.part.count')::int,
           (SELECT array_agg(('x' || l.span_id)::bit(64)::bigint::int ORDER BY ordinality)
              FROM otel.span_links(links, 1000000) WITH ORDINALITY AS l),
           dropped_links_count, taken::otel.span_queue
      FROM taken ORDER BY 1
$$;
CREATE PROCEDURE record(how_many int) LANGUAGE sql AS $$
    SELECT otel.record_span('batch', now() - interval '1 s', kind => 'consumer',
        attributes => '{"job": "nightly"}',
        links => (SELECT otel.link_agg(trace_context ORDER BY id) FROM item WHERE id <= how_many))
$$;

-- drop
CALL record(128);
SELECT is(items, (SELECT array_agg(i) FROM generate_series(1, 128) AS i),
    '128 links are within the default limit') FROM recorded();
SELECT is(current_setting('otel.link_overflow'), 'split',
    'by default a span with more links than the limit is split');
CALL record(129);
SELECT is(array_agg(cardinality(items) ORDER BY part), '{128,1}', 'by default no link is lost')
  FROM recorded();
SET otel.link_overflow = drop;
CALL record(129);
CREATE TEMP TABLE result AS SELECT * FROM recorded();
SELECT is(cardinality(items), 128, 'of 129 links 128 stay') FROM result;
SELECT is(dropped, 1, 'of 129 links one is counted as dropped') FROM result;
SELECT is((SELECT array_agg(i) FROM generate_series(1, 129) AS i WHERE i <> ALL (items)), '{125}',
          'the dropped link is the last that shares its trace with another') FROM result;
SELECT is(part, NULL, 'the span is no part of anything') FROM result;
SET otel.span_link_count_limit = 5;
CALL record(12);
SELECT is(items, '{1,2,4,7,8}',
    'one of each sampled trace, in order: neither 3, which is not, nor 5, which has the trace of 4')
    FROM recorded();
SET otel.span_link_count_limit = 0;
CALL record(12);
DROP TABLE result;
CREATE TEMP TABLE result AS SELECT * FROM recorded();
SELECT is(items, NULL, 'a limit of 0 keeps no link') FROM result;
SELECT is(dropped, 12, 'with a limit of 0 all links are counted as dropped') FROM result;

-- split
RESET otel.link_overflow;
SET otel.span_link_count_limit = 128;
CALL record(128);
SELECT is(count(*), 1::bigint, 'split: 128 links need one span') FROM recorded();
CALL record(1000);
DROP TABLE result;
CREATE TEMP TABLE result AS SELECT * FROM recorded();
SELECT is(array_agg(part ORDER BY part), '{1,2,3,4,5,6,7,8}', 'split: 1000 links need eight')
  FROM result;
SELECT is(array_agg(DISTINCT of), '{8}', 'each part knows how many there are') FROM result;
SELECT is(array_agg(i ORDER BY part, o), (SELECT array_agg(i) FROM generate_series(1, 1000) AS i),
          'every link is carried exactly once, in the order of the input')
  FROM result, unnest(items) WITH ORDINALITY AS u (i, o);
SELECT is(max(cardinality(items)), 128, 'no part has more than the limit') FROM result;
SELECT is(sum(dropped), 0::bigint, 'nothing counts as dropped') FROM result;
SELECT is(count(DISTINCT otel.span_id((span).context)), 8::bigint,
    'each part has a span id of its own') FROM result;
SELECT is(count(DISTINCT otel.trace_id((span).context)), 1::bigint,
    'all parts are in one trace') FROM result;
SELECT is(array_agg(DISTINCT (span).parent_span_id),
    (SELECT array_agg(otel.span_id((span).context)) FROM result WHERE part = 1),
          'the further parts are children of the batch span') FROM result WHERE part > 1;
SELECT is(count(DISTINCT ((span).kind, (span).start_time, (span).end_time)), 1::bigint,
          'all parts have the same kind and times') FROM result;
SELECT is((array_agg((span).name ORDER BY part))[:3],
    '{batch,"batch (links, part 2 of 8)","batch (links, part 3 of 8)"}',
          'the names of the further parts say what they are') FROM result;
SELECT is((span).attributes ->> 'job', 'nightly', 'the batch span keeps its attributes') FROM result
 WHERE part = 1;
SELECT ok(bool_and((span).attributes ->> 'job' IS NULL), 'the further parts do not repeat them')
  FROM result WHERE part > 1;
SET otel.span_link_count_limit = 1;
CALL record(3);
SELECT results_eq('SELECT part, items FROM recorded() ORDER BY 1', $$VALUES (1, '{1}'::int[]),
    (2, '{2}'), (3, '{3}')$$,
          'split: a limit of one link');
SET otel.span_link_count_limit = 0;
CALL record(3);
SELECT results_eq('SELECT part, dropped FROM recorded()', $$VALUES (NULL::int, 3)$$,
    'split: a limit of 0 has nothing to split by, it drops');
RESET otel.span_link_count_limit;

-- a link's attributes
CREATE PROCEDURE record_link(attributes jsonb) LANGUAGE sql AS $$
    SELECT otel.record_span('batch', now(), links => ARRAY[
        otel.span_link('00-0af7651916cd43dd8448eb211c80319c-0000000000000001-01', '{"a": 1}'),
        otel.span_link('00-0af7651916cd43dd8448eb211c80319c-0000000000000002-01', attributes)])
$$;
CREATE FUNCTION dropped_attributes(links otel.packed_links) RETURNS jsonb LANGUAGE sql AS $$
    SELECT nullif(jsonb_agg(coalesce(link -> 'droppedAttributesCount', '0')), '[0, 0]')
      FROM jsonb_array_elements(links::jsonb) AS link
$$;
CREATE FUNCTION kept() RETURNS jsonb LANGUAGE sql AS $$
    SELECT ((span).links::otel.span_link[])[2].attributes
        || jsonb_build_object('dropped', dropped_attributes((span).links)) FROM recorded()
$$;
SET otel.link_attribute_count_limit = 2;
CALL record_link('{"b": 1, "c": 2}');
SELECT is(kept(), '{"b": 1, "c": 2, "dropped": null}',
    'a link keeps as many attributes as the limit allows');
CALL record_link('{"b": 1, "c": 2, "a": 3}');
SELECT is(kept(), '{"a": 3, "b": 1, "dropped": [0, 1]}',
    'above the count limit, the last keys are dropped and counted');
CALL record_link('{"long key": 1, "b": {"x": 1, "y": 2, "z": 3}, "c": [1, 2, 3]}');
SELECT is(kept(), '{"b": {"x": 1, "y": 2, "z": 3}, "c": [1, 2, 3], "dropped": [0, 1]}',
    'last in jsonb''s order, where longer keys come later; what is within values does not count');
CALL record_link('{"": 0, "b": 1, "c": 2}');
SELECT is(kept(), '{"b": 1, "c": 2, "dropped": [0, 1]}',
    'an empty key is dropped, and counted, but takes no room');
SET otel.link_attribute_count_limit = 0;
CALL record_link('{"": 0, "b": 1, "c": 2}');
SELECT is(kept(), '{"dropped": [1, 3]}', 'a limit of no attributes at all');
RESET otel.link_attribute_count_limit;
CALL record_link('{"": 0}');
SELECT is(kept(), '{"dropped": [0, 1]}', 'nothing but an empty key');
CALL record_link('{"b": {"": 0}}');
SELECT is(kept(), '{"b": {"": 0}, "dropped": null}', 'an empty key within a value stays');
CALL record_link('{}');
SELECT is(kept(), '{"dropped": null}', 'no attributes');

SET otel.attribute_value_length_limit = 3;
CALL record_link('{"a": "abc", "b": "abcd", "c": "", "n": 12345, "t": true, "z": null}');
SELECT is(kept(),
    '{"a": "abc", "b": "abc", "c": "", "n": 12345, "t": true, "z": null, "dropped": null}',
          'strings are cut to the length limit, other values never; cutting drops nothing');
CALL record_link('{"a": "äöüß", "b": "日本語文", "c": "a😀b😀"}');
SELECT is(kept(), '{"a": "äöü", "b": "日本語", "c": "a😀b", "dropped": null}',
    'the limit is of characters, not of bytes');
CALL record_link(
    '{"a": ["abcd", "ab", 12345, ["abcd"]], "long key": {"long key": "abcd", "x": [{"y": '
    '"abcd"}]}}');
SELECT is(kept(),
    '{"a": ["abc", "ab", 12345, ["abc"]], "long key": {"long key": "abc", "x": [{"y": "abc"}]}, '
    '"dropped": null}',
          'strings within arrays and objects are cut as well, keys are not');
CALL record_link('{"a": [], "b": {}, "c": "abcd"}');
SELECT is(kept(), '{"a": [], "b": {}, "c": "abc", "dropped": null}',
    'empty arrays and objects stay as they are');
SET otel.attribute_value_length_limit = 0;
CALL record_link('{"a": "abc", "b": 1}');
SELECT is(kept(), '{"a": "", "b": 1, "dropped": null}', 'a length limit of 0 leaves empty strings');
SET otel.span_attribute_value_length_limit = 2;
CALL record_link('{"a": "abc"}');
SELECT is(kept(), '{"a": "ab", "dropped": null}',
    'the limit for spans comes before the general one');
RESET otel.span_attribute_value_length_limit;
RESET otel.attribute_value_length_limit;
CALL record_link(jsonb_build_object('a', repeat('x', 100000)));
SELECT is(length(kept() ->> 'a'), 100000, 'by default there is no length limit');
SET otel.attribute_value_length_limit = 1;
SELECT jsonb_object_agg(i, array_fill('xy'::text, ARRAY[200])) AS many
  FROM generate_series(1, 100) AS i \gset
CALL record_link(:'many');
SELECT is((SELECT string_agg(DISTINCT v, '')
    FROM jsonb_each(kept() - 'dropped') AS e (k, a), jsonb_array_elements_text(a) AS v), 'x',
          'many long arrays');
SELECT * FROM finish();
