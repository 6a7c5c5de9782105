-- Spans and rollbacks: what rolls back has status Error, and a span's end is never undone.
\set QUIET on
SELECT format('ALTER DATABASE %I SET otel.traces_exporter = none', current_database()) \gexec
\c
SET search_path = public, otel;
SET client_min_messages = error;    -- warnings are in sql/spans.sql
\set ON_ERROR_STOP off
\set VERBOSITY terse
SELECT plan(38);

CREATE VIEW spans AS SELECT name, status_code AS code, status_message AS message,
    format('%s %s', status_code, status_message) AS status FROM otel.span_queue;

-- a whole transaction
BEGIN;
SELECT start_span('ended ok') IS NOT NULL \g /dev/null
SELECT end_span('ok', attributes => '{"rows": 1}');
SELECT start_span('ended error') IS NOT NULL \g /dev/null
SELECT end_span('error', 'its own message');
SELECT start_span('open') AS open \gset
SELECT start_span('of the session', scope => 'session') AS session \gset
ROLLBACK;
SELECT is(count(*), 0::bigint, 'what is rolled back is not in the queue') FROM spans;
SELECT is(status, '2 transaction rolled back',
    'a span that ended in a transaction that rolls back has status Error') FROM spans
    WHERE name = 'ended ok';
SELECT is(status, '2 its own message', 'a span with status Error keeps its message') FROM spans
    WHERE name = 'ended error';
SELECT is(status, '2 transaction rolled back',
    'a span that the transaction leaves open has its status, too') FROM spans
    WHERE name = 'open';
SELECT is(count(*), 3::bigint, 'the next transaction queues them') FROM spans;
SELECT is(attributes, '{"rows": 1}',
    'spans of a rolled back transaction keep their attributes') FROM otel.span_queue
    WHERE name = 'ended ok';
SELECT is(current_trace_context(), :'session'::otel.trace_context,
    'a session''s span that merely began there stays open');
SELECT otel.end_span();
SELECT is(status, '0 ',
    'a session''s span has its own status') FROM spans WHERE name = 'of the session';
TRUNCATE otel.span_queue;

-- a late end_span
BEGIN;
SELECT start_span('late') AS late \gset
SELECT 1 / 0;
ROLLBACK;
BEGIN READ ONLY;
SELECT otel.record_exception('22012', 'division by zero', span => :'late');
SELECT otel.end_span('error', 'division by zero', '{"late": true}', :'late');
COMMIT;
SELECT is(count(*), 0::bigint, 'a read-only transaction queues nothing') FROM spans;
SELECT is(status, '2 division by zero',
    'a span whose transaction failed can still be ended, by its context') FROM spans;
SELECT is(attributes, '{"late": true}',
    'a span that ends after its transaction failed keeps its attributes') FROM otel.span_queue;
SELECT is(cardinality(events), 1,
    'a span that ends after its transaction failed keeps its events') FROM otel.span_queue;
SELECT otel.end_span('ok', span => :'late');
SELECT is(status, '2 division by zero', 'a span that ends late is queued once') FROM spans;
TRUNCATE otel.span_queue;

-- discarded after the failure
BEGIN;
SELECT start_span('discarded') AS discarded \gset
ROLLBACK;
BEGIN READ ONLY;
SELECT otel.discard_span(:'discarded');
COMMIT;
SELECT is(count(*), 0::bigint, 'a span whose transaction failed can still be discarded') FROM spans;
SELECT is(count(*), 0::bigint, 'it does not come back') FROM spans;

-- read-only transactions
BEGIN READ ONLY;
SELECT otel.record_span('read-only', now()) IS NOT NULL \g /dev/null
COMMIT;
SELECT is(count(*), 0::bigint, 'a span that ends in a read-only transaction waits') FROM spans;
SELECT is(status, '0 ', 'a span of a read-only transaction has its own status') FROM spans;
TRUNCATE otel.span_queue;

-- subtransactions
CREATE FUNCTION pg_temp.handled(fail bool) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM otel.start_span('around');
    BEGIN
        PERFORM otel.start_span('began inside');
        PERFORM otel.record_span('ended inside', now(), status => 'ok');
        IF fail THEN PERFORM 1 / 0; END IF;
        PERFORM otel.end_span('ok');
    EXCEPTION WHEN division_by_zero THEN
        PERFORM otel.end_span('error', SQLERRM);
    END;
    PERFORM otel.end_span('ok');
END $$;
SELECT pg_temp.handled(true);
SELECT is(status, '2 division by zero',
    'the handler of a subtransaction ends the span that began in it') FROM spans
    WHERE name = 'began inside';
SELECT is(status, '2 transaction rolled back', 'a span that ended in it has status Error')
    FROM spans WHERE name = 'ended inside';
SELECT is(status, '1 ', 'a span around it has its own status') FROM spans WHERE name = 'around';
TRUNCATE otel.span_queue;
SELECT pg_temp.handled(false);
SELECT is(count(*), 3::bigint, 'a subtransaction that commits leaves all spans') FROM spans;
SELECT is(array_agg(DISTINCT status), ARRAY['1 '],
    'spans of a subtransaction that commits have their own status') FROM spans;
TRUNCATE otel.span_queue;

-- a subtransaction that commits within one that rolls back
BEGIN;
SAVEPOINT a;
SAVEPOINT b;
SELECT otel.record_span('in b', now()) IS NOT NULL \g /dev/null
RELEASE b;
SELECT otel.record_span('in a', now()) IS NOT NULL \g /dev/null
ROLLBACK TO a;
SELECT otel.record_span('after a', now()) IS NOT NULL \g /dev/null
SAVEPOINT c;
SELECT start_span('begun before c') IS NOT NULL \g /dev/null
RELEASE c;
SAVEPOINT d;
SELECT otel.end_span('ok');
ROLLBACK TO d;
COMMIT;
SELECT is(status, '2 transaction rolled back', 'a savepoint released within one that rolls back')
    FROM spans WHERE name = 'in b';
SELECT is(status, '2 transaction rolled back', 'the savepoint that rolls back') FROM spans
    WHERE name = 'in a';
SELECT is(status, '0 ', 'after the rollback to a savepoint') FROM spans WHERE name = 'after a';
SELECT is(status, '2 transaction rolled back', 'a span that ends in a savepoint that rolls back')
    FROM spans WHERE name = 'begun before c';
TRUNCATE otel.span_queue;

-- an error in a savepoint, then the span's end after ROLLBACK TO
BEGIN;
SELECT start_span('batch') IS NOT NULL \g /dev/null
SAVEPOINT item;
SELECT start_span('item') AS item \gset
SELECT 1 / 0;
ROLLBACK TO item;
SELECT current_trace_context() = :'item' AS still_current \gset
SELECT otel.end_span('error', 'failed');
SELECT otel.end_span();
COMMIT;
SELECT ok(:'still_current', 'a span of a savepoint that rolled back is still on the stack');
SELECT is(status, '2 failed',
    'a span of a savepoint that rolled back has its own error') FROM spans WHERE name = 'item';
SELECT is(status, '0 ', 'the span around it is as it was') FROM spans WHERE name = 'batch';
TRUNCATE otel.span_queue;

-- a statement that goes on after its transaction
CREATE PROCEDURE goes_on(fail_after int) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM otel.start_span('open over a rollback');
    PERFORM otel.start_span('ended before it');
    PERFORM otel.end_span('ok');
    ROLLBACK;
    PERFORM otel.start_span('begun after it');
    IF fail_after = 1 THEN PERFORM 1 / 0; END IF;
    PERFORM otel.end_span();
    COMMIT;
    IF fail_after = 2 THEN PERFORM 1 / 0; END IF;
    PERFORM otel.end_span();
END $$;
CALL goes_on(0);
SELECT is(array_agg(format('%s: %s', name, status) ORDER BY name),
    ARRAY['begun after it: 0 ', 'ended before it: 2 transaction rolled back',
    'open over a rollback: 0 '],
          'a rollback within a statement is told by the spans that ended before it') FROM spans;
TRUNCATE otel.span_queue;
CALL goes_on(1);
BEGIN; COMMIT;
SELECT is(array_agg(format('%s: %s', name, status) ORDER BY name),
          ARRAY['begun after it: 2 transaction rolled back',
              'ended before it: 2 transaction rolled back',
              'open over a rollback: 2 transaction rolled back'],
          'spans that are open when the statement fails tell the rollback, too') FROM spans;
TRUNCATE otel.span_queue;
CALL goes_on(2);
BEGIN; COMMIT;
SELECT is(array_agg(format('%s: %s', name, status) ORDER BY name),
          ARRAY['begun after it: 0 ', 'ended before it: 2 transaction rolled back',
              'open over a rollback: 2 transaction rolled back'],
          'a span that begins after the rollback has its own status') FROM spans;
TRUNCATE otel.span_queue;
CREATE PROCEDURE leaves_open(fail bool) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM otel.start_span('left open');
    ROLLBACK;
    IF fail THEN PERFORM 1 / 0; END IF;
END $$;
CALL leaves_open(false);
SELECT is(array_agg(status), ARRAY['0 '],
    'a span that a statement leaves open after a rollback ends with the statement') FROM spans;
TRUNCATE otel.span_queue;
CALL leaves_open(true);
BEGIN; COMMIT;
SELECT is(array_agg(status), ARRAY['2 transaction rolled back'],
    'a span that a failing statement leaves open ends with status Error') FROM spans;
TRUNCATE otel.span_queue;

-- the scope's end
SELECT start_span('statement') AS statement \gset
SELECT is(current_trace_context(), NULL, 'a span does not outlive its statement');
SELECT is(status, '0 ', 'it is exported, status Unset') FROM spans;
TRUNCATE otel.span_queue;
BEGIN;
SELECT start_span('transaction') AS transaction \gset
SELECT current_trace_context() = :'transaction' AS still_current \gset
COMMIT;
SELECT ok(:'still_current', 'a span outlives its statement within its transaction');
SELECT is(current_trace_context(), NULL, 'a span does not outlive its transaction');
SELECT * FROM finish();
