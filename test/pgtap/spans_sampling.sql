-- Sampling: which spans are recorded; what is not sampled still propagates.
\set QUIET on
SELECT format('ALTER DATABASE %I SET otel.traces_exporter = none', current_database()) \gexec
\c
SELECT plan(41);

\set sampled '''00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'''
\set unsampled '''00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00'''

-- is a span sampled, by sampler, parent and links?
CREATE FUNCTION pg_temp.samples(sampler text, arg text DEFAULT '',
    parent otel.trace_context DEFAULT NULL, links otel.trace_context[] DEFAULT NULL)
RETURNS bool LANGUAGE plpgsql AS $$
DECLARE context otel.trace_context;
BEGIN
    PERFORM set_config('otel.traces_sampler', sampler, true),
        set_config('otel.traces_sampler_arg', arg, true);
    context := otel.start_span('x', parent => parent, root => parent IS NULL,
                               links => (SELECT otel.link_agg(l) FROM unnest(links) l));
    PERFORM otel.discard_span();
    RETURN otel.is_sampled(context);
END $$;

SELECT is(pg_temp.samples('always_on'), true, 'always_on: a root');
SELECT is(pg_temp.samples('always_on', parent => :unsampled), true,
    'always_on: whatever the parent');
SELECT is(pg_temp.samples('always_off'), false, 'always_off: a root');
SELECT is(pg_temp.samples('always_off', parent => :sampled), false,
    'always_off: whatever the parent');
SELECT is(pg_temp.samples('parentbased_always_on'), true, 'parentbased_always_on: a root');
SELECT is(pg_temp.samples('parentbased_always_on', parent => :sampled), true,
    'parentbased_always_on: as the parent, sampled');
SELECT is(pg_temp.samples('parentbased_always_on', parent => :unsampled), false,
    'parentbased_always_on: as the parent, not sampled');
SELECT is(pg_temp.samples('parentbased_always_off'), false, 'parentbased_always_off: a root');
SELECT is(pg_temp.samples('parentbased_always_off', parent => :sampled), true,
    'parentbased_always_off: as the parent, sampled');
SELECT is(pg_temp.samples('parentbased_always_off', parent => :unsampled), false,
    'parentbased_always_off: as the parent, not sampled');
SELECT is(pg_temp.samples('traceidratio', '0'), false, 'traceidratio 0: a root');
SELECT is(pg_temp.samples('traceidratio', '1'), true, 'traceidratio 1: a root');
SELECT is(pg_temp.samples('traceidratio', ''), true, 'traceidratio without an argument is 1');
SELECT is(pg_temp.samples('traceidratio', '0', :sampled), false,
    'traceidratio: whatever the parent');
SELECT is(pg_temp.samples('parentbased_traceidratio', '0', :sampled), true,
    'parentbased_traceidratio: as the parent, sampled');
SELECT is(pg_temp.samples('parentbased_traceidratio', '1', :unsampled), false,
    'parentbased_traceidratio: as the parent, not sampled');
SELECT is(pg_temp.samples('parentbased_traceidratio', '0'), false,
    'parentbased_traceidratio: a root by the ratio');
SELECT is(pg_temp.samples('linksbased_parentbased_always_on',
    links => ARRAY[:unsampled, :sampled]::otel.trace_context[]), true,
    'linksbased: any link sampled');
SELECT is(pg_temp.samples('linksbased_parentbased_always_on',
    links => ARRAY[:unsampled]::otel.trace_context[]), false, 'linksbased: no link sampled');
SELECT is(pg_temp.samples('linksbased_parentbased_always_on', parent => :sampled,
    links => ARRAY[:unsampled]::otel.trace_context[]), false,
    'linksbased: links come before the parent');
SELECT is(pg_temp.samples('linksbased_parentbased_always_on', parent => :unsampled), false,
    'linksbased: without links as the parent');
SELECT is(pg_temp.samples('linksbased_parentbased_always_on'), true,
    'linksbased: without links and parent always');

-- the ratio is decided by the last 56 bits of the trace id, the threshold being (1 - ratio) * 2^56
SELECT is(pg_temp.samples('traceidratio', '0.25',
    otel.from_ids('ffffffffffffffffff' || bits, '00f067aa0ba902b7', 0)), expected,
    'ratio 0.25, trace id …' || bits)
  FROM (VALUES ('00000000000000', false), ('bfffffffffffff', false), ('c0000000000000', true),
      ('ffffffffffffff', true)) v(bits, expected);
SELECT is(pg_temp.samples('traceidratio', '0.25',
    otel.from_ids('000000000000000000' || bits, '00f067aa0ba902b7', 0)), expected,
    'the first bits do not count, trace id …' || bits)
  FROM (VALUES ('bfffffffffffff', false), ('c0000000000000', true)) v(bits, expected);
-- or by the tracestate
SELECT is(pg_temp.samples('traceidratio', '0.25',
    otel.from_ids('ffffffffffffffffff' || bits, '00f067aa0ba902b7', 0, state)), expected,
    'randomness from tracestate ' || state)
  FROM (VALUES ('00000000000000', 'ot=rv:c0000000000000', true),
      ('ffffffffffffff', 'ot=rv:bfffffffffffff', false),
               ('ffffffffffffff', 'a=1,ot=th:8;rv:00000000000000;x:1,b=2', false),
                   ('00000000000000', 'ot=rv:c000000000000', false),
               ('00000000000000', 'xot=rv:c0000000000000', false),
                   ('ffffffffffffff', 'ot=xrv:00000000000000', true)) v(bits, state, expected);

-- statistics: 20,000 new traces at 0.1 are 2,000, within five standard deviations (212)
SELECT ok(abs(count(*) FILTER (WHERE s) - 2000) < 212,
    format('of 20,000 new traces at ratio 0.1 about 2,000 are sampled: %s',
    count(*) FILTER (WHERE s)))
  FROM (SELECT pg_temp.samples('traceidratio', '0.1') AS s FROM generate_series(1, 20000)) x;

-- not sampled: nothing is queued, the context propagates
SET otel.traces_sampler = always_off;
BEGIN;
SELECT otel.start_span('unsampled', parent => :sampled, links => ARRAY[otel.span_link(:sampled)],
    attributes => '{"a": 1}') AS unsampled \gset
SELECT is(otel.traceparent(otel.current_trace_context()), otel.traceparent(:'unsampled'),
    'a span that is not sampled is the current context');
SELECT is(otel.trace_flags(:'unsampled'), 0,
    'the context of a span that is not sampled has the flag unset');
SELECT is(otel.trace_id(:'unsampled'), '4bf92f3577b34da6a3ce929d0e0e4736',
    'a span that is not sampled is in its parent''s trace');
SELECT otel.set_attributes('{"b": 1}'), otel.add_event('e'),
    otel.add_links(ARRAY[otel.span_link(:sampled)]), otel.set_status('error', 'x'),
       otel.update_name('y'), otel.record_exception('22012', 'z') \g /dev/null
SELECT otel.end_span('error', 'x', '{"c": 1}');
SELECT is(otel.current_trace_context()::text, NULL, 'a span that is not sampled ends as any other');
COMMIT;
SELECT otel.record_span('unsampled', now()) IS NOT NULL AS context \gset
SELECT ok(:'context', 'record_span returns a context all the same');
SELECT is(count(*), 0::bigint, 'nothing is queued') FROM otel.span_queue;
SELECT * FROM finish();
