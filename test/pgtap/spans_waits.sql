-- otel.record_wait(): the time that an item waited, in the item's own trace.  Rollback, read-only
-- transactions and pooled sessions are in t/046_span_waits.pl, warnings too.
\set QUIET on
SELECT format('ALTER DATABASE %I SET otel.traces_exporter = none', current_database()) \gexec
\c
SET client_min_messages = error;
\set ON_ERROR_STOP off
SELECT plan(40);

\set item '''00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03;vendor=1'''
\set unsampled '''00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02'''

-- the spans of the queue; context and parent as otel.trace_context, links as array of contexts
CREATE VIEW spans AS
SELECT q.*, context AS span,
       otel.from_ids(otel.trace_id(context), parent_span_id, otel.trace_flags(context),
                     otel.trace_state(context)) AS parent,
       (SELECT array_agg((l).context) FROM unnest(links::otel.span_link[]) l) AS linked
  FROM otel.span_queue q;

-- one item
BEGIN;
SELECT otel.start_span('process reports', kind => 'consumer', root => true) AS batch \gset
SELECT otel.record_wait(:item, '2026-01-02 03:04:05+00') \g /dev/null
SELECT is(otel.current_trace_context()::text, :'batch', 'a wait never is the current context');
SELECT otel.end_span() \g /dev/null
COMMIT;
SELECT is(array_agg(name ORDER BY name), ARRAY['process reports', 'wait process reports'],
          'a wait is a span, named after the span that processes the item') FROM spans;
SELECT is(parent::text, :item,
    'it is a child of the item''s context, with its trace, flags and tracestate')
  FROM spans WHERE name LIKE 'wait%';
SELECT is(linked::text[], ARRAY[:'batch'], 'it is linked to the span that processes the item')
  FROM spans WHERE name LIKE 'wait%';
SELECT is(kind, 5::int2, 'it is of kind consumer') FROM spans WHERE name LIKE 'wait%';
SELECT is(start_time, '2026-01-02 03:04:05+00'::timestamptz, 'it begins when the item did')
  FROM spans WHERE name LIKE 'wait%';
SELECT ok(w.end_time BETWEEN b.start_time AND b.end_time, 'it ends when it is recorded')
  FROM spans w, spans b WHERE w.name LIKE 'wait%' AND b.name LIKE 'process%';
SELECT is(format('%s %s %s', status_code, attributes, events), '0  ',
    'it has no status, attributes or events of its own')
  FROM spans WHERE name LIKE 'wait%';
SELECT ok(parent_is_remote, 'its parent is another process''s span') FROM spans
 WHERE name LIKE 'wait%';
SELECT is(linked, NULL, 'the batch span gets no link by it') FROM spans WHERE name LIKE 'process%';
TRUNCATE otel.span_queue;

-- its name and attributes
BEGIN;
SELECT otel.start_span('process reports', root => true) IS NOT NULL \g /dev/null
SELECT otel.record_wait(:item, now(), 'queued', '{"report.id": 7}') \g /dev/null
SELECT otel.record_wait(:item, now(), '') \g /dev/null
SELECT otel.record_wait(:item, now(), attributes => '[]') \g /dev/null
SELECT otel.start_span('inner') IS NOT NULL \g /dev/null
SELECT otel.record_wait(:item, now()) \g /dev/null
SELECT otel.end_span(), otel.end_span() \g /dev/null
COMMIT;
SELECT is(attributes, '{"report.id": 7}', 'a wait can have a name and attributes') FROM spans
 WHERE name = 'queued';
SELECT is(count(*), 2::bigint,
    'an empty name is no name; attributes that are no object are left out')
  FROM spans WHERE name = 'wait process reports' AND attributes IS NULL;
SELECT is(w.linked[1]::text, i.span::text, 'the innermost open span is the one that processes')
  FROM spans w, spans i WHERE w.name = 'wait inner' AND i.name = 'inner';
TRUNCATE otel.span_queue;

-- what records nothing
BEGIN;
SELECT otel.start_span('process reports', root => true) IS NOT NULL \g /dev/null
SELECT otel.record_wait(NULL, now()), otel.record_wait(:item, NULL),
    otel.record_wait(:unsampled, now()) \g /dev/null
SELECT otel.end_span() \g /dev/null
COMMIT;
SELECT is(count(*), 1::bigint,
    'a context that is NULL or not sampled, and a time that is NULL, record nothing') FROM spans;
TRUNCATE otel.span_queue;
SELECT otel.record_wait(:item, now()) \g /dev/null
SELECT is(count(*), 0::bigint, 'without an open span nothing is recorded') FROM spans;
SELECT set_config('otel.sdk_disabled', 'on', false) \g /dev/null
BEGIN;
SELECT otel.start_span('disabled', root => true), otel.record_wait(:item, now()),
    otel.end_span() \g /dev/null
COMMIT;
RESET otel.sdk_disabled;
SELECT is(count(*), 0::bigint, 'nothing is recorded while the SDK is disabled') FROM spans;
SET otel.strict = on;
SELECT throws_ok(
    $$SELECT otel.record_wait('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', now())$$,
    '55000',
                 'no span is open', 'with otel.strict a wait without an open span is an error');
SELECT lives_ok($$SELECT otel.record_wait(NULL, now())$$,
    'with otel.strict a wait of an item without a context is no error');
BEGIN;
SELECT otel.start_span('strict', root => true) IS NOT NULL \g /dev/null
SAVEPOINT s;
SELECT otel.record_wait(:item, now() + interval '1 hour') \g /dev/null
ROLLBACK TO s;
SELECT otel.discard_span() \g /dev/null
COMMIT;
SELECT is(count(*), 0::bigint, 'with otel.strict a wait that begins after now is an error')
  FROM spans;
RESET otel.strict;

-- a clock that is ahead
BEGIN;
SELECT otel.start_span('process reports', root => true) IS NOT NULL \g /dev/null
SELECT otel.record_wait(:item, now() + interval '1 hour') \g /dev/null
SELECT otel.record_wait(:item, 'infinity', 'infinity') \g /dev/null
SELECT otel.record_wait(:item, '-infinity', '-infinity') \g /dev/null
SELECT otel.end_span() \g /dev/null
COMMIT;
SELECT ok(start_time = end_time AND end_time < now() + interval '1 minute',
    'a wait that begins after now begins and ends now')
  FROM spans WHERE name = 'wait process reports';
SELECT ok(end_time - start_time < interval '1 minute', 'so does one that begins at ' || name)
  FROM spans WHERE name LIKE '%infinity' ORDER BY name;
TRUNCATE otel.span_queue;

-- a batch: set-based, more than the session remembers ids of its own
CREATE TABLE items (id int, trace_context otel.trace_context,
    created_at timestamptz DEFAULT now() - interval '1 minute');
INSERT INTO items SELECT i,
    CASE WHEN i % 10 > 0 THEN otel.from_ids(md5('t' || i), left(md5('s' || i), 16), i % 2) END
  FROM generate_series(1, 6000) i;
BEGIN;
SELECT otel.start_span('batch', root => true) IS NOT NULL \g /dev/null
SELECT otel.record_wait(trace_context, created_at) FROM items \g /dev/null
SELECT otel.end_span() \g /dev/null
COMMIT;
SELECT results_eq($$SELECT parent::text FROM spans WHERE name = 'wait batch' ORDER BY 1$$,
                  $$SELECT trace_context::text FROM items WHERE otel.is_sampled(trace_context)
                   ORDER BY 1$$,
                  'each item of a batch that is sampled has one wait');
SELECT is(count(DISTINCT w.linked)::text || ' ' || bool_and(w.linked[1]::text = b.span::text),
    '1 true', 'all linked to the batch span')
  FROM spans w, spans b WHERE w.name = 'wait batch' AND b.name = 'batch';
SELECT ok(bool_and(links::jsonb @? '$ ? (@.size() == 1 && @[0].context.isRemote == false)'),
    'the only link of each wait leads to a span of this session, so it is not remote')
  FROM spans WHERE name = 'wait batch';
TRUNCATE otel.span_queue;

-- in what it is called from
CALL otel.trace_job('job', $$SELECT otel.record_wait(trace_context, created_at) FROM items
    WHERE id <= 10$$);
SELECT is(count(*) FILTER (WHERE name = 'wait job'), 5::bigint,
    'in trace_job the waits are linked to the job''s span') FROM spans;
TRUNCATE otel.span_queue;
CALL otel.trace_job('job', $$SELECT otel.record_wait(trace_context, created_at) FROM items
    WHERE id = 1; SELECT 1 / 0$$);
SELECT 1 \g /dev/null
SELECT is(array_agg(concat_ws(' ', name, status_code, status_message) ORDER BY name),
          ARRAY['job 2 division by zero', 'wait job 2 transaction rolled back'],
              'a job that fails: its items'' waits have status Error') FROM spans;
TRUNCATE otel.span_queue;
CREATE PROCEDURE steps() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM otel.start_span('steps', root => true);
    FOR i IN 1 .. 4 LOOP
        PERFORM otel.record_wait(trace_context, created_at, 'step ' || i) FROM items WHERE id = 1;
        IF i = 2 THEN ROLLBACK; ELSE COMMIT; END IF;
    END LOOP;
    BEGIN
        PERFORM otel.record_wait(trace_context, created_at, 'undone') FROM items WHERE id = 1;
        RAISE division_by_zero;
    EXCEPTION WHEN division_by_zero THEN
        PERFORM otel.record_wait(trace_context, created_at, 'handled') FROM items WHERE id = 1;
    END;
    PERFORM otel.end_span();
END $$;
CALL steps();
SELECT is(array_agg(concat_ws(' ', name, status_code, status_message) ORDER BY name),
          ARRAY['handled 0', 'step 1 0', 'step 2 2 transaction rolled back', 'step 3 0', 'step 4 0',
              'steps 0',
                'undone 2 transaction rolled back'],
          'in a procedure, what rolls back takes along only the waits recorded in it') FROM spans;
SELECT is(count(DISTINCT linked), 1::bigint, 'all are linked to the one span of it') FROM spans
 WHERE name <> 'steps';
TRUNCATE otel.span_queue;

-- under every sampler: is a wait recorded in a batch of its own trace, and in one whose parent is
-- sampled?
CREATE FUNCTION pg_temp.waits(sampler text, arg text, item otel.trace_context) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
    PERFORM set_config('otel.traces_sampler', sampler, true),
        set_config('otel.traces_sampler_arg', arg, true);
    PERFORM otel.start_span('root', root => true);
    PERFORM otel.record_wait(item, now(), 'of root');
    PERFORM otel.end_span();
    PERFORM otel.start_span('child',
        parent => '00-00000000000000000000000000000001-0000000000000001-01');
    PERFORM otel.record_wait(item, now(), 'of child');
    PERFORM otel.end_span();
    RETURN NULL;
END $$;
CREATE FUNCTION pg_temp.waits_are(expected text, sampler text, arg text DEFAULT '',
    bits text DEFAULT 'ffffffffffffff')
RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE found text;
BEGIN
    SELECT string_agg(name, ', ' ORDER BY name) INTO found FROM spans WHERE name LIKE 'of %';
    DELETE FROM otel.span_queue;
    RETURN NEXT is(coalesce(found, 'none'), expected, format('a wait under %s %s', sampler, arg));
END $$;
\set low '''00-ffffffffffffffffff00000000000000-00f067aa0ba902b7-01'''
\set high '''00-000000000000000000ffffffffffffff-00f067aa0ba902b7-01'''
SELECT pg_temp.waits('always_on', '', :item) \g /dev/null
SELECT pg_temp.waits_are('of child, of root', 'always_on');
SELECT pg_temp.waits('always_off', '', :item) \g /dev/null
SELECT pg_temp.waits_are('none', 'always_off');
SELECT pg_temp.waits('parentbased_always_on', '', :item) \g /dev/null
SELECT pg_temp.waits_are('of child, of root', 'parentbased_always_on');
SELECT pg_temp.waits('parentbased_always_off', '', :item) \g /dev/null
SELECT pg_temp.waits_are('of child', 'parentbased_always_off');
SELECT pg_temp.waits('parentbased_traceidratio', '0', :item) \g /dev/null
SELECT pg_temp.waits_are('of child', 'parentbased_traceidratio', '0');
SELECT pg_temp.waits('linksbased_parentbased_always_on', '', :item) \g /dev/null
SELECT pg_temp.waits_are('of child, of root', 'linksbased_parentbased_always_on');
SELECT pg_temp.waits('traceidratio', '1', :item) \g /dev/null
SELECT pg_temp.waits_are('of child, of root', 'traceidratio', '1');
BEGIN;
SET LOCAL otel.traces_sampler = always_on;
SELECT otel.start_span('sampled', root => true) IS NOT NULL \g /dev/null
SET LOCAL otel.traces_sampler = traceidratio;
SET LOCAL otel.traces_sampler_arg = 0.5;
SELECT otel.record_wait(:low, now(), 'of low'),
    otel.record_wait(:high, now(), 'of high') \g /dev/null
SELECT otel.end_span() \g /dev/null
COMMIT;
SELECT pg_temp.waits_are('of high', 'traceidratio', '0.5, which decides by the item''s trace');

-- who may: anyone, like the other span functions
CREATE ROLE waits_test;
SET ROLE waits_test;
SELECT lives_ok($$SELECT otel.start_span('by anyone'),
    otel.record_wait('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', now()),
                otel.end_span()$$, 'any role may record a wait');
RESET ROLE;
SELECT is(count(*), 1::bigint,
    'a wait that any role records is queued') FROM spans WHERE name = 'wait by anyone';
DROP ROLE waits_test;

-- one among thousands of bytes of name
BEGIN;
SELECT otel.start_span(repeat('é', 100000), root => true), otel.record_wait(:item, now()),
    otel.end_span() \g /dev/null
COMMIT;
SELECT is(length(name), 100005, 'a long name is kept') FROM spans WHERE name LIKE 'wait é%';
SELECT * FROM finish();
