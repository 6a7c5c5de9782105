-- Spans in a tree: parents, traces, ids, flags, tracestate, and which span is current.
\set QUIET on
SELECT format('ALTER DATABASE %I SET otel.traces_exporter = none', current_database()) \gexec
\c
SELECT plan(47);

-- nested spans
BEGIN;
SELECT otel.start_span('outer') AS outer \gset
SELECT is(otel.current_trace_context(), :'outer'::otel.trace_context,
    'a started span is the current context');
SELECT otel.start_span('inner') AS inner \gset
SELECT is(otel.current_trace_context(), :'inner'::otel.trace_context,
    'the innermost span is the current context');
SELECT is(otel.trace_id(:'inner'), otel.trace_id(:'outer'), 'a child is in its parent''s trace');
SELECT isnt(otel.span_id(:'inner'), otel.span_id(:'outer'), 'a child has a span id of its own');
SELECT otel.end_span();
SELECT is(otel.current_trace_context(), :'outer'::otel.trace_context,
    'after the end of a span its parent is current');
SELECT otel.end_span();
SELECT is(otel.current_trace_context(), NULL, 'after the end of the last span none is current');
COMMIT;
SELECT is(parent_span_id, otel.span_id(:'outer'), 'a child tells its parent''s span id')
  FROM otel.span_queue WHERE name = 'inner';
SELECT ok(NOT parent_is_remote, 'a parent in this session is not remote') FROM otel.span_queue
 WHERE name = 'inner';
SELECT is(parent_span_id, NULL, 'a root span has no parent') FROM otel.span_queue
 WHERE name = 'outer';
SELECT ok(NOT parent_is_remote, 'no parent is no remote parent') FROM otel.span_queue
 WHERE name = 'outer';
SELECT is(otel.trace_flags(:'outer'), 3, 'a new trace is sampled and says that its id is random');
SELECT is(array_agg(name ORDER BY ctid), ARRAY['inner', 'outer'],
    'spans are queued in order of their ends') FROM otel.span_queue;
SELECT ok(i.start_time >= o.start_time AND i.end_time <= o.end_time AND i.start_time <= i.end_time,
          'times are those of the clock')
  FROM otel.span_queue i, otel.span_queue o WHERE i.name = 'inner' AND o.name = 'outer';
TRUNCATE otel.span_queue;

-- a parent from elsewhere
BEGIN;
SELECT otel.set_trace_context('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff',
    'vendor=1');
SELECT otel.start_span('of the caller') AS child \gset
SELECT is(otel.trace_id(:'child'), '0af7651916cd43dd8448eb211c80319c',
    'the current context is the parent');
SELECT is(otel.trace_flags(:'child'), 3,
    'of a parent''s flags only sampled and random are taken over');
SELECT is(otel.trace_state(:'child'), 'vendor=1', 'the tracestate is taken over');
SELECT otel.start_span('of another',
    parent => '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01') AS child \gset
SELECT is(otel.trace_id(:'child'), '4bf92f3577b34da6a3ce929d0e0e4736',
    'an explicit parent wins over the current context');
SELECT is(otel.trace_state(:'child'), NULL, 'an explicit parent without a tracestate gives none');
SELECT is(otel.trace_flags(:'child'), 1, 'the random bit is the parent''s');
SELECT otel.start_span('of nobody', root => true,
    parent => '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01') AS root \gset
SELECT isnt(otel.trace_id(:'root'), '4bf92f3577b34da6a3ce929d0e0e4736',
    'root begins a new trace, whatever the parent');
SELECT is(otel.trace_state(:'root'), NULL, 'a new trace has no tracestate');
SELECT otel.end_span(), otel.end_span(), otel.end_span();
COMMIT;
SELECT is(array_agg(name ORDER BY name), ARRAY['of another', 'of the caller'],
    'parents from elsewhere are remote')
  FROM otel.span_queue WHERE parent_is_remote;
SELECT is(parent_span_id, NULL, 'root has no parent') FROM otel.span_queue WHERE name = 'of nobody';
SELECT is(parent_span_id, '00f067aa0ba902b7', 'the explicit parent''s span id is told')
  FROM otel.span_queue WHERE name = 'of another';
TRUNCATE otel.span_queue;

-- ending an outer span
BEGIN;
SELECT otel.start_span('outer') AS outer \gset
SELECT otel.start_span('inner') AS inner \gset
SELECT otel.end_span(span => :'outer');
SELECT is(otel.current_trace_context(), NULL,
    'the end of an outer span takes the inner ones off the stack');
SELECT otel.start_span('next') AS next \gset
SELECT isnt(otel.trace_id(:'next'), otel.trace_id(:'outer'),
    'what starts afterwards is not in its trace');
SELECT otel.set_attributes('{"open": true}', :'inner');
SELECT otel.end_span('error', 'late', span => :'inner');
SELECT is(otel.current_trace_context(), :'next'::otel.trace_context,
    'the end of a span that is off the stack leaves the stack alone');
SELECT otel.end_span();
COMMIT;
SELECT is((attributes ->> 'open') || status_message, 'truelate',
    'inner spans stay open, and can be ended by their context')
  FROM otel.span_queue WHERE name = 'inner';
SELECT is(parent_span_id, otel.span_id(:'outer'), 'they keep their parent') FROM otel.span_queue
 WHERE name = 'inner';
TRUNCATE otel.span_queue;

-- a middle span, ended first
BEGIN;
SELECT otel.start_span('a') AS a \gset
SELECT otel.start_span('b') AS b \gset
SELECT otel.start_span('c') AS c \gset
SELECT otel.end_span(span => :'b');
SELECT is(otel.current_trace_context(), :'a'::otel.trace_context,
    'what is below an ended span is current again');
SELECT otel.discard_span(:'c');
SELECT otel.end_span();
COMMIT;
SELECT is(array_agg(name ORDER BY name), ARRAY['a', 'b'], 'a discarded span is not exported')
  FROM otel.span_queue;
TRUNCATE otel.span_queue;

-- discard
BEGIN;
SELECT otel.start_span('job') AS job \gset
SELECT otel.start_span('step') AS step \gset
SELECT otel.discard_span();
SELECT is(otel.current_trace_context(), :'job'::otel.trace_context,
    'after discard_span the span below is current');
SELECT otel.discard_span(:'job');
SELECT is(otel.current_trace_context(), NULL, 'discard_span takes a context');
COMMIT;
SELECT is(count(*), 0::bigint, 'a run that was discarded leaves nothing') FROM otel.span_queue;

-- record_span
BEGIN;
SELECT otel.start_span('job') AS job \gset
SELECT otel.record_span('step', '2026-01-02 03:04:05+00', '2026-01-02 03:04:06+00') AS step \gset
SELECT is(otel.current_trace_context(), :'job'::otel.trace_context,
    'record_span does not change the current context');
SELECT is(otel.trace_id(:'step'), otel.trace_id(:'job'),
    'record_span takes the current context as its parent');
SELECT otel.end_span();
COMMIT;
SELECT is(end_time - start_time, interval '1 second', 'record_span takes both times')
  FROM otel.span_queue WHERE name = 'step';
SELECT is(parent_span_id, otel.span_id(:'job'), 'record_span tells the parent') FROM otel.span_queue
 WHERE name = 'step';
TRUNCATE otel.span_queue;

-- rows that a job inserts are linked to the job: chains
CREATE TABLE work (id int, trace_context otel.trace_context DEFAULT otel.current_trace_context());
BEGIN;
SELECT otel.start_span('first job') AS first \gset
INSERT INTO work (id) VALUES (1);
SELECT otel.end_span();
INSERT INTO work (id) VALUES (2);
COMMIT;
SELECT is(trace_context, :'first'::otel.trace_context,
    'a row is linked to the span in which it was inserted') FROM work WHERE id = 1;
SELECT is(trace_context, NULL, 'a row inserted after the span is not') FROM work WHERE id = 2;
BEGIN;
SELECT otel.start_span('second job', links => (SELECT otel.link_agg(trace_context) FROM work))
    AS second \gset
SELECT otel.end_span();
COMMIT;
SELECT is(format('%s %s', otel.links_json(links) #>> '{0,context,spanId}',
                 links::jsonb #> '{0,context,isRemote}'),
          otel.span_id(:'first') || ' false',
          'a link to one of this session''s own spans is not remote')
    FROM otel.span_queue WHERE name = 'second job';

-- all within one statement, for which a context is kept as long as the stack stays as it is
CREATE TABLE step (id int GENERATED ALWAYS AS IDENTITY, expected otel.trace_context,
    trace_context otel.trace_context DEFAULT otel.current_trace_context());
DO $$
DECLARE
    a otel.trace_context;
    b otel.trace_context;
BEGIN
    INSERT INTO step (expected) VALUES (NULL);
    a := otel.start_span('a');
    INSERT INTO step (expected) VALUES (a);
    PERFORM otel.record_span('recorded', now());
    INSERT INTO step (expected) VALUES (a);
    b := otel.start_span('b');
    INSERT INTO step (expected) VALUES (b);
    PERFORM otel.discard_span();
    INSERT INTO step (expected) VALUES (a);
    b := otel.start_span('b', scope => 'session');
    INSERT INTO step (expected) VALUES (b);
    PERFORM otel.end_span(span => a);
    INSERT INTO step (expected) VALUES (NULL);
    PERFORM otel.end_span(span => b);
    INSERT INTO step (expected) VALUES (NULL);
END $$;
SELECT is(array_agg(id) FILTER (WHERE trace_context IS DISTINCT FROM expected), NULL,
    'each row has the span that is current') FROM step;

-- a span that has no context of its own and none of a parent
BEGIN;
SELECT otel.start_span('enabled') AS enabled \gset
SELECT otel.set_trace_context('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
SET LOCAL otel.sdk_disabled = on;
SELECT is(otel.start_span('disabled', root => true), NULL,
    'a disabled SDK has no context for a new trace');
SELECT is(otel.current_trace_context(), :'enabled'::otel.trace_context,
    'the innermost span that has a context is current');
SELECT otel.end_span();
SET LOCAL otel.sdk_disabled = off;
SELECT is(otel.current_trace_context(), :'enabled'::otel.trace_context,
    'the innermost span is current again after the end of a span without a context');
SELECT otel.end_span();
COMMIT;
SELECT is(array_agg(name), ARRAY['enabled'], 'end_span ends the one without first')
  FROM otel.span_queue WHERE name ~ 'abled';

-- a job that starts more spans than a session remembers the ids of
BEGIN;
SELECT otel.start_span('big job') AS big \gset
SELECT count(otel.record_span('item', now())) FROM generate_series(1, 3000) \g /dev/null
SELECT otel.record_span('last item', now()) AS last \gset
SELECT otel.end_span();
COMMIT;
SELECT ok(NOT parent_is_remote, 'an open span of this session is never remote') FROM otel.span_queue
 WHERE name = 'last item';
SELECT * FROM finish();
