-- otel.extract(), inject(), from_traceparent(), from_ids() and the casts from and to jsonb.
\set QUIET on
SET client_min_messages = warning;
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS otel_links;

CREATE FUNCTION pg_temp.strict(carrier jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN carrier::otel.trace_context;
EXCEPTION WHEN data_exception THEN
    RETURN SQLSTATE;
END $$;

-- $tp stands for a valid traceparent; "strict" is what the cast makes of it where that differs
CREATE TEMPORARY TABLE cases (n int GENERATED ALWAYS AS IDENTITY, name text, carrier text,
    extracted text, strict text);
INSERT INTO cases (name, carrier, extracted, strict) VALUES
('a traceparent', '{"traceparent": "$tp"}', '$tp', NULL),
('a traceparent and a tracestate', '{"traceparent": "$tp", "tracestate": "a=1"}', '$tp;a=1', NULL),
('other headers are skipped',
    '{"x": {"traceparent": "no"}, "traceparent": "$tp", "y": ["tracestate"], "traceparents": 1}',
    '$tp', NULL),
('names in upper case', '{"TRACEPARENT": "$tp", "TRACESTATE": "a=1"}', '$tp;a=1', NULL),
('names in mixed case', '{"TraceParent": "$tp", "traceState": "a=1"}', '$tp;a=1', NULL),
('white space around values', '{"traceparent": " $tp\t", "tracestate": " a=1 "}', '$tp;a=1', NULL),
('a traceparent in an array of one', '{"traceparent": ["$tp"]}', '$tp', NULL),
('a tracestate in an array of one', '{"traceparent": "$tp", "tracestate": ["a=1"]}', '$tp;a=1',
    NULL),
('several tracestates are one list', '{"traceparent": "$tp", "tracestate": ["a=1", "", "b=2,c=3"]}',
    '$tp;a=1,b=2,c=3', NULL),
('of a key in several tracestates the first',
    '{"traceparent": "$tp", "tracestate": ["a=1", "a=2"]}', '$tp;a=1', NULL),
('no tracestate in an empty array', '{"traceparent": "$tp", "tracestate": []}', '$tp', NULL),
('no tracestate in an empty string', '{"traceparent": "$tp", "tracestate": ""}', '$tp', NULL),
('null is no tracestate', '{"traceparent": "$tp", "tracestate": null}', '$tp', NULL),
('an invalid tracestate is dropped', '{"traceparent": "$tp", "tracestate": "A=1"}', '$tp', '22P02'),
('one invalid tracestate of several spoils the list',
    '{"traceparent": "$tp", "tracestate": ["a=1", "A=1"]}', '$tp', '22P02'),
('a tracestate that is a number is dropped', '{"traceparent": "$tp", "tracestate": 1}', '$tp',
    '22P02'),
('a tracestate that is true is dropped', '{"traceparent": "$tp", "tracestate": true}', '$tp',
    '22P02'),
('a tracestate that is an object is dropped', '{"traceparent": "$tp", "tracestate": {"a": "1"}}',
    '$tp', '22P02'),
('an array of tracestates with null in it is dropped',
    '{"traceparent": "$tp", "tracestate": ["a=1", null]}', '$tp', '22P02'),
('an array of arrays of tracestates is dropped', '{"traceparent": "$tp", "tracestate": [["a=1"]]}',
    '$tp', '22P02'),
('a tracestate in two spellings is dropped',
    '{"traceparent": "$tp", "tracestate": "a=1", "Tracestate": "b=1"}', '$tp', '22P02'),
('a traceparent in two spellings', '{"traceparent": "$tp", "Traceparent": "$tp"}', NULL, '22P02'),
('a traceparent in two spellings, one of them null', '{"traceparent": "$tp", "Traceparent": null}',
    NULL, '22P02'),
('a traceparent in an array of two', '{"traceparent": ["$tp", "$tp"]}', NULL, '22P02'),
('a traceparent in an empty array', '{"traceparent": []}', NULL, '22P02'),
('a traceparent in an array of an array', '{"traceparent": [["$tp"]]}', NULL, '22P02'),
('a number in an array in place of a traceparent', '{"traceparent": [1]}', NULL, '22P02'),
('a traceparent that is null', '{"traceparent": null}', NULL, '22P02'),
('a traceparent that is a number', '{"traceparent": 1}', NULL, '22P02'),
('a traceparent that is an object', '{"traceparent": {"value": "$tp"}}', NULL, '22P02'),
('an invalid traceparent', '{"traceparent": "$tp-x"}', NULL, '22P02'),
('an invalid traceparent takes its tracestate along', '{"traceparent": "", "tracestate": "a=1"}',
    NULL, '22P02'),
('no traceparent', '{"tracestate": "a=1"}', NULL, '22P02'),
('names that are only alike', '{"trace-parent": "$tp", "trace_parent": "$tp", "traceparen": "$tp"}',
    NULL, '22P02'),
('a carrier without headers', '{}', NULL, '22P02'),
('a carrier that is an array', '[{"traceparent": "$tp"}]', NULL, '22P02'),
('a carrier that is one pair', '["traceparent", "$tp"]', NULL, '22P02'),
('a carrier that is a list of pairs', '[["traceparent", "$tp"], ["tracestate", "a=1"]]', '$tp;a=1',
    '22P02'),
('a carrier that is a string', '"$tp"', NULL, '22P02'),
('a carrier that is null', 'null', NULL, '22P02'),
('a carrier that is SQL NULL', NULL, NULL, NULL);
UPDATE cases SET carrier = replace(carrier, '$tp', tp), extracted = replace(extracted, '$tp', tp)
  FROM (VALUES ('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01')) v(tp);

-- separate ids
CREATE TEMPORARY TABLE id_cases (n int GENERATED ALWAYS AS IDENTITY, name text, trace_id text,
    span_id text, flags int, state text, expected text);
INSERT INTO id_cases (name, trace_id, span_id, flags, state, expected) VALUES
('ids and flags', '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7', 1, NULL,
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'),
('a tracestate', '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7', 0, ' a=1 ,',
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00;a=1'),
('an invalid tracestate is dropped', '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7', 1,
    'A=1', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'),
('all flags', '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7', 255, NULL,
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff'),
('flags NULL: none is set', '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7', NULL, NULL,
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00'),
('flags too large', '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7', 256, NULL, NULL),
('flags negative', '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7', -1, NULL, NULL),
('trace id NULL', NULL, '00f067aa0ba902b7', 1, NULL, NULL),
('span id NULL', '4bf92f3577b34da6a3ce929d0e0e4736', NULL, 1, NULL, NULL),
('trace id in upper case', '4BF92F3577B34DA6A3CE929D0E0E4736', '00f067aa0ba902b7', 1, NULL, NULL),
('trace id all zero', '00000000000000000000000000000000', '00f067aa0ba902b7', 1, NULL, NULL),
('trace id of 64 bits', '00f067aa0ba902b7', '00f067aa0ba902b7', 1, NULL, NULL),
('trace id too long', '4bf92f3577b34da6a3ce929d0e0e47360', '00f067aa0ba902b7', 1, NULL, NULL),
('span id all zero', '4bf92f3577b34da6a3ce929d0e0e4736', '0000000000000000', 1, NULL, NULL),
('span id too short', '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b', 1, NULL, NULL),
('span id no hex', '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902bg', 1, NULL, NULL),
('ids empty', '', '', 1, NULL, NULL);

SELECT plan((SELECT 2 * count(*)::int FROM cases) + (SELECT count(*)::int FROM id_cases) + 17);

SELECT is(otel.extract(carrier::jsonb)::text, extracted, 'extract: ' || name) FROM cases ORDER BY n;
SELECT is(pg_temp.strict(carrier::jsonb), coalesce(strict, extracted), 'cast: ' || name) FROM cases
    ORDER BY n;
SELECT is(otel.from_ids(trace_id, span_id, flags, state)::text, expected, 'from_ids: ' || name)
    FROM id_cases ORDER BY n;

-- as docs/queues.md writes it
SELECT is(otel.from_ids(replace(trace_id::text, '-', ''), span_id, 1)::text,
          '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', 'from_ids: a uuid column')
  FROM (VALUES ('4BF92F35-77b3-4da6-a3ce-929d0e0e4736'::uuid, '00f067aa0ba902b7'))
       t (trace_id, span_id);
SELECT is(otel.from_ids(replace(trace_id::text, '-', ''), '00f067aa0ba902b7', 1)::text, NULL,
          'from_ids: a uuid column that is NULL') FROM (VALUES (NULL::uuid)) t (trace_id);
SELECT is(otel.from_ids(lower(trace_id), lower(span_id), 1)::text,
          '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
          'from_ids: columns in upper case')
  FROM (VALUES ('4BF92F3577B34DA6A3CE929D0E0E4736', '00F067AA0BA902B7')) t (trace_id, span_id);
SELECT is(otel.from_ids(lpad(trace_id, 32, '0'), span_id, 1)::text,
          '00-0000000000000000a3ce929d0e0e4736-00f067aa0ba902b7-01',
          'from_ids: 64-bit trace ids, padded')
  FROM (VALUES ('a3ce929d0e0e4736', '00f067aa0ba902b7')) t (trace_id, span_id);

SELECT is(otel.inject('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'),
          '{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}',
          'inject: no tracestate where there is none');
SELECT is(otel.inject('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01;a="\,b=2'),
          '{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", '
              '"tracestate": "a=\"\\,b=2"}',
          'inject: a tracestate as it is');
SELECT is(otel.inject('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01;a=1')
    ->> 'tracestate', 'a=1',
          'inject: the keys are where jsonb looks for them');
SELECT is(otel.inject('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01;a=1')
          = '{"tracestate": "a=1", "traceparent": '
              '"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}', true,
          'inject: equal to the same carrier read from text');
SELECT is(otel.inject('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-fe') ->> 'traceparent',
          '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02',
              'inject: only sampled and random are sent on');
SELECT is(otel.inject(NULL), '{}', 'inject: {} for NULL');
SELECT is('{"x": 1}' || otel.inject(NULL), '{"x": 1}',
    'inject: headers stay when there is no context');
SELECT is(NULL::otel.trace_context::jsonb, NULL, 'cast to jsonb: NULL for NULL');
SELECT is('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff;a=1'::otel.trace_context::jsonb,
          otel.inject('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff;a=1'),
              'cast to jsonb: the carrier');
SELECT is(otel.from_traceparent(NULL, 'a=1')::text, NULL, 'from_traceparent: NULL for NULL');
SELECT is(otel.from_traceparent('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    NULL)::text,
          '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
              'from_traceparent: tracestate NULL');
SELECT is(otel.from_traceparent(
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01;a=1')::text,
          '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01;a=1',
          'from_traceparent: takes the type''s text form too');
SELECT is(otel.trace_state(
    otel.from_traceparent('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
                                                 repeat(' ', 50000000) || 'a=1')), 'a=1',
          'from_traceparent: 50 MB of white space are no reason to fail');
SELECT * FROM finish();
ROLLBACK;
