-- What a span tells: kind, times, status, attributes, events, name.
\set QUIET on
SELECT format('ALTER DATABASE %I SET otel.traces_exporter = none', current_database()) \gexec
\c
SET client_min_messages = error;    -- what misuse is told is in sql/spans.sql
SELECT plan(43);

-- kinds
SELECT otel.record_span(kind, now(), kind => kind)
    FROM unnest('{internal,server,client,producer,consumer,CLIENT,wrong}'::text[]) kind \g /dev/null
SELECT is(q.kind, k.number::int2, 'kind ' || k.kind)
  FROM otel.span_queue q
  JOIN (VALUES ('internal', 1), ('server', 2), ('client', 3), ('producer', 4), ('consumer', 5),
      ('CLIENT', 3), ('wrong', 1)) k(kind, number)
    ON k.kind = q.name ORDER BY k.number, k.kind;
SELECT otel.record_span('default', now()) IS NOT NULL \g /dev/null
SELECT is(kind, 1::int2, 'the default kind is internal') FROM otel.span_queue
    WHERE name = 'default';
TRUNCATE otel.span_queue;

-- times
BEGIN;
SELECT otel.start_span('told',
    start_time => '2026-01-02 03:04:05.678901+00') IS NOT NULL \g /dev/null
SELECT otel.end_span(end_time => '2026-01-02 04:00:00+00');
SELECT otel.start_span('backwards', start_time => '2026-01-02 03:04:05+00') IS NOT NULL \g /dev/null
SELECT otel.end_span(end_time => '2026-01-02 03:04:04+00');
SELECT otel.start_span('too old',
    start_time => '1969-12-31 23:59:59.999999+00') IS NOT NULL \g /dev/null
SELECT otel.end_span(end_time => 'infinity');
SELECT otel.start_span('oldest', start_time => '1970-01-01 00:00:00+00') IS NOT NULL \g /dev/null
SELECT otel.end_span(end_time => '2262-04-11 23:47:16+00');
SELECT otel.start_span('from the future',
    start_time => now() + interval '1 hour') IS NOT NULL \g /dev/null
COMMIT;
SELECT is(start_time, '2026-01-02 03:04:05.678901+00'::timestamptz, 'the start that was told')
    FROM otel.span_queue WHERE name = 'told';
SELECT is(end_time, '2026-01-02 04:00:00+00'::timestamptz, 'the end that was told')
    FROM otel.span_queue WHERE name = 'told';
SELECT is(end_time, start_time, 'an end before the start is put at the start') FROM otel.span_queue
    WHERE name = 'backwards';
SELECT ok(now() - start_time < interval '1 minute', 'a start before 1970 is now')
    FROM otel.span_queue WHERE name = 'too old';
SELECT ok(now() - end_time < interval '1 minute', 'an end at infinity is now') FROM otel.span_queue
    WHERE name = 'too old';
SELECT ok(start_time = '1970-01-01 00:00:00+00' AND end_time = '2262-04-11 23:47:16+00',
    'the whole range of nanoseconds since 1970')
  FROM otel.span_queue WHERE name = 'oldest';
SELECT is(end_time, start_time, 'a span that is ended for its user does not end before it starts')
    FROM otel.span_queue WHERE name = 'from the future';
TRUNCATE otel.span_queue;

-- status: Ok beats Error beats Unset, Ok is final, a description only with Error
CREATE FUNCTION pg_temp.status_after(VARIADIC calls text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE call text; span otel.trace_context;
BEGIN
    span := otel.start_span(array_to_string(calls, ', '));
    FOREACH call IN ARRAY calls LOOP
        PERFORM otel.set_status(nullif(split_part(call, ':', 1), ''),
            nullif(split_part(call, ':', 2), ''));
    END LOOP;
    PERFORM otel.end_span();
    RETURN array_to_string(calls, ', ');
END $$;
CREATE TEMPORARY TABLE expected_status AS
SELECT c.calls, c.code, c.message, pg_temp.status_after(VARIADIC c.calls) AS name
  FROM (VALUES ('{unset}'::text[], 0, NULL), ('{unset:text}', 0, NULL), ('{NULL}', 0, NULL),
               ('{ok}', 1, NULL), ('{ok:text}', 1, NULL), ('{error}', 2, NULL),
                   ('{error:text}', 2, 'text'),
               ('{error:one,error:two}', 2, 'two'), ('{error:one,error}', 2, NULL),
                   ('{error:one,unset}', 2, 'one'),
               ('{error:one,ok}', 1, NULL), ('{ok,error:one}', 1, NULL), ('{ok,unset}', 1, NULL),
               ('{ERROR:one}', 2, 'one'), ('{error:one,wrong}', 2, 'one')) c(calls, code, message);
SELECT is(format('%s %s', q.status_code, q.status_message), format('%s %s', e.code, e.message),
    'status after ' || e.name)
  FROM expected_status e JOIN otel.span_queue q ON q.name = e.name ORDER BY e.name;
TRUNCATE otel.span_queue;
BEGIN;
SELECT otel.start_span('ended') IS NOT NULL \g /dev/null
SELECT otel.set_status('error', 'before');
SELECT otel.end_span('ok', 'text', '{"last": 1}');
COMMIT;
SELECT is(format('%s %s %s', status_code, status_message, attributes), '1  {"last": 1}',
    'end_span sets status and attributes') FROM otel.span_queue;
TRUNCATE otel.span_queue;

-- attributes
BEGIN;
SELECT otel.start_span('attributes',
    attributes => '{"a": 1, "b": [true, null, "x"], "": "dropped"}') IS NOT NULL \g /dev/null
SELECT otel.set_attributes('{"a": "one", "c": {"d": 1.5}}');
SELECT otel.set_attributes(NULL);
SELECT otel.set_attributes('{}');
SELECT otel.set_attributes('[1]');
SELECT otel.end_span(attributes => '{"e": null}');
COMMIT;
SELECT is(attributes, '{"a": "one", "b": [true, null, "x"], "c": {"d": 1.5}, "e": null}',
    'attributes: the last value of a key, every kind of JSON value')
  FROM otel.span_queue;
SELECT is(dropped_attributes_count, 1, 'an empty key is dropped and counted') FROM otel.span_queue;
TRUNCATE otel.span_queue;

-- name
BEGIN;
SELECT otel.start_span('first name') AS span \gset
SELECT otel.update_name('second name');
SELECT otel.update_name('');
SELECT otel.update_name('third name', :'span');
SELECT otel.end_span();
COMMIT;
SELECT is(name, 'third name', 'update_name') FROM otel.span_queue;
TRUNCATE otel.span_queue;

-- events
BEGIN;
SELECT otel.start_span('events') IS NOT NULL \g /dev/null
SELECT otel.add_event('first', '{"n": 1}', '2026-01-02 03:04:05+00');
SELECT otel.add_event('second');
SELECT otel.add_event('third', '[1]', 'infinity');
SELECT otel.end_span();
COMMIT;
SELECT is((SELECT array_agg(e.name) FROM unnest(events) e), '{first,second,third}',
    'events in their order') FROM otel.span_queue;
SELECT is(events[1], ROW('2026-01-02 03:04:05+00', 'first', '{"n": 1}', 0)::otel.span_event,
    'an event''s time, name and attributes') FROM otel.span_queue;
SELECT ok(events[2].time BETWEEN start_time AND end_time AND events[2].attributes IS NULL,
    'an event''s time is now unless it is told') FROM otel.span_queue;
SELECT ok(events[3].time BETWEEN start_time AND end_time AND events[3].attributes IS NULL,
    'what cannot be an event''s time or attributes is left out') FROM otel.span_queue;
TRUNCATE otel.span_queue;

-- exceptions
BEGIN;
SELECT otel.start_span('exceptions') IS NOT NULL \g /dev/null
DO $$
BEGIN
    PERFORM 1 / 0;
EXCEPTION WHEN OTHERS THEN
    PERFORM otel.record_exception(SQLSTATE, SQLERRM);
    PERFORM otel.record_exception('XX999', 'no such condition', 'a stack',
        '{"exception.escaped": false}');
    PERFORM otel.record_exception('22012', NULL, attributes => '{"exception.type": "mine"}');
END $$;
SELECT otel.record_exception('P0001', 'at top level');
SELECT otel.end_span();
COMMIT;
SELECT is(status_code, 0::int2, 'an exception that was recorded leaves the status')
    FROM otel.span_queue;
SELECT is(events[1].attributes - 'exception.stacktrace',
    '{"exception.type": "division_by_zero", "exception.message": "division by zero"}',
          'the type is the condition''s name') FROM otel.span_queue;
SELECT matches(events[1].attributes ->> 'exception.stacktrace',
    'PL/pgSQL function inline_code_block line 5 at PERFORM',
               'the stack trace is that of the procedural languages') FROM otel.span_queue;
SELECT is(events[2].attributes,
    '{"exception.type": "XX999", "exception.message": "no such condition", "exception.stacktrace": '
        '"a stack", "exception.escaped": false}',
          'a SQLSTATE without a name is the type itself') FROM otel.span_queue;
SELECT is(events[3].attributes - 'exception.stacktrace', '{"exception.type": "mine"}',
    'attributes win') FROM otel.span_queue;
SELECT is(events[4].attributes,
    '{"exception.type": "raise_exception", "exception.message": "at top level"}',
    'no stack, no stack trace') FROM otel.span_queue;
SELECT * FROM finish();
