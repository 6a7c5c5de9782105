-- CALL otel.trace_job(): a job within a span of its own.
\set QUIET on
SELECT format('ALTER DATABASE %I SET otel.traces_exporter = none', current_database()) \gexec
\c
\set ON_ERROR_STOP off
SET client_min_messages = error;    -- warnings are in sql/spans.sql
SET search_path = public, otel;
SELECT plan(46);

CREATE TABLE t (id int, trace_context otel.trace_context DEFAULT otel.current_trace_context());

-- a job that succeeds
CALL otel.trace_job('insert', 'INSERT INTO t VALUES (1)',
    ARRAY[otel.span_link('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01')],
                    '{"cron.job": 7}', 'consumer');
SELECT is(format('%s %s %s %s %s', name, kind, status_code, attributes,
                 cardinality(links::otel.span_link[])),
    'insert 5 0 {"cron.job": 7} 1', 'a job''s span, as it was told') FROM otel.span_queue;
SELECT is(otel.span_id(t.trace_context), otel.span_id(q.context),
    'the job''s span is current while the job runs')
  FROM t, otel.span_queue q;
SELECT is(current_trace_context(), NULL, 'a job''s span is not current after the job');
TRUNCATE otel.span_queue, t;

-- several statements: each sees what those before it did
CALL otel.trace_job('several',
    'INSERT INTO t VALUES (1); UPDATE t SET id = id + 1; CREATE TABLE u AS SELECT * FROM t; UPDATE '
    'u SET id = id + 1;');
SELECT is(id, 2, 'a statement sees the rows of the one before it') FROM t;
SELECT is(id, 3, 'a statement sees the tables of the one before it') FROM u;
CALL otel.trace_job('empty', ' ; -- nothing');
SELECT is(array_agg(name ORDER BY ctid), ARRAY['several', 'empty'],
    'a job without a statement is a job') FROM otel.span_queue;
TRUNCATE otel.span_queue, t, u;

-- a job that commits
CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO t VALUES (1);
    COMMIT;
    INSERT INTO t VALUES (2);
    ROLLBACK;
    INSERT INTO t VALUES (3);
END $$;
CALL otel.trace_job('commits', 'CALL commits(); CALL commits()');
SELECT is(array_agg(id ORDER BY ctid), ARRAY[1, 3, 1, 3],
    'procedures commit and roll back inside a job') FROM t;
SELECT is(count(DISTINCT trace_context), 1::bigint,
    'the span stays current over their transactions') FROM t;
SELECT is(array_agg(format('%s %s', name, status_code)), ARRAY['commits 0'],
    'a job of several transactions is one span, with status Unset') FROM otel.span_queue;
TRUNCATE otel.span_queue, t;
DO $$ BEGIN CALL otel.trace_job('inside', 'CALL commits()'); END $$;
SELECT is(array_agg(id ORDER BY ctid), ARRAY[1, 3], 'a job may commit inside a DO block') FROM t;
TRUNCATE otel.span_queue, t;

-- a job that rolls back first
CREATE PROCEDURE rolls_back(fail bool) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM otel.record_span('step', now());
    ROLLBACK;
    INSERT INTO t VALUES (1);
    IF fail THEN PERFORM 1 / 0; END IF;
    COMMIT;
END $$;
CALL otel.trace_job('rolls back', 'CALL rolls_back(false)');
SELECT is(array_agg(format('%s %s %s', name, status_code, status_message) ORDER BY ctid),
    ARRAY['step 2 transaction rolled back', 'rolls back 0 '],
          'a job that rolls back and then succeeds has succeeded') FROM otel.span_queue;
TRUNCATE otel.span_queue, t;
CALL otel.trace_job('rolls back', 'CALL rolls_back(true)');
SELECT is(count(*), 0::bigint, 'a job that rolls back and then fails') FROM t;
SELECT is(array_agg(format('%s %s %s', name, status_code, status_message) ORDER BY ctid),
    ARRAY['step 2 transaction rolled back', 'rolls back 2 division by zero'],
          'tells the error') FROM otel.span_queue;
TRUNCATE otel.span_queue, t;
BEGIN;
CALL otel.trace_job('in a block', 'INSERT INTO t VALUES (1)');
CALL otel.trace_job('in a block', 'CALL commits()');
COMMIT;
SELECT is(count(*), 0::bigint, 'in a transaction block a procedure cannot commit') FROM t;
SELECT is(array_agg(format('%s: %s', status_code, coalesce(status_message, '')) ORDER BY ctid),
          ARRAY['2: transaction rolled back', '2: invalid transaction termination'],
              'the spans of the failing job tell its error') FROM otel.span_queue;
TRUNCATE otel.span_queue, t;

-- a job that fails
CREATE FUNCTION fails() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO t VALUES (1);
    RAISE EXCEPTION 'no paper' USING ERRCODE = 'unique_violation', DETAIL = 'the detail',
        HINT = 'the hint', TABLE = 'printer';
END $$;
CALL otel.trace_job('fails', 'SELECT fails()', attributes => '{"a": 1}');
\set sqlstate :LAST_ERROR_SQLSTATE
\set message :LAST_ERROR_MESSAGE
SELECT is(:'sqlstate' || :'message', '23505no paper', 'a job''s error goes on');
SELECT is(format('%s: %s', status_code, status_message), '2: no paper',
    'its span has status Error and the message') FROM otel.span_queue;
SELECT is(attributes,
    '{"a": 1, "error.type": "unique_violation", "db.response.status_code": "23505"}',
    'error.type and db.response.status_code') FROM otel.span_queue;
SELECT is(events[1].name || cardinality(events), 'exception1', 'the exception is an event')
  FROM otel.span_queue;
SELECT is(events[1].attributes - 'exception.stacktrace',
    '{"exception.type": "unique_violation", "exception.message": "no paper"}',
    'the exception has its type and message') FROM otel.span_queue;
SELECT matches(events[1].attributes ->> 'exception.stacktrace',
    'PL/pgSQL function fails\(\) line 4 at RAISE',
    'the exception has its stack trace') FROM otel.span_queue;
SELECT is(count(*), 0::bigint, 'its work is rolled back') FROM t;
TRUNCATE otel.span_queue;
DO $$
DECLARE detail text; hint text; tab text;
BEGIN
    PERFORM otel.start_span('around');
    BEGIN
        CALL otel.trace_job('fails', 'SELECT fails()');
    EXCEPTION WHEN unique_violation THEN
        GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT,
            tab = TABLE_NAME;
        PERFORM otel.end_span(attributes => jsonb_build_object('d', detail, 'h', hint, 't', tab));
    END;
END $$;
SELECT is(attributes, '{"d": "the detail", "h": "the hint", "t": "printer"}',
    'detail, hint and the rest of the error are the original ones') FROM otel.span_queue
    WHERE name = 'around';
SELECT is(q.parent_span_id, otel.span_id(a.context),
    'jobs nest, and a handler finds the outer span current')
    FROM otel.span_queue q, otel.span_queue a WHERE q.name = 'fails' AND a.name = 'around';
TRUNCATE otel.span_queue;

-- a job that fails after it committed
CREATE PROCEDURE half() LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO t VALUES (1);
    PERFORM otel.record_span('step', now());
    COMMIT;
    INSERT INTO t VALUES (2);
    PERFORM 1 / 0;
END $$;
CALL otel.trace_job('half', 'CALL half()');
SELECT is(array_agg(id), ARRAY[1], 'what a job committed stays') FROM t;
SELECT is(array_agg(format('%s %s %s', name, status_code, status_message) ORDER BY ctid),
    ARRAY['step 0 ', 'half 2 division by zero'], 'the job''s span tells the error')
    FROM otel.span_queue;
TRUNCATE otel.span_queue, t;

-- a job whose error is long, or whose span cannot take it
CREATE FUNCTION fails_long() RETURNS void
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION '%', 'x' || repeat('ä', 500000) USING ERRCODE = 'P0042'; END $$;
CALL otel.trace_job('fails long', 'SELECT fails_long() /* ' || repeat('ö', 500000) || ' */');
\set sqlstate :LAST_ERROR_SQLSTATE
SELECT is(length(:'LAST_ERROR_MESSAGE'), 500001, 'an error of 1 MB goes on as it was');
SELECT is(:'sqlstate'::text, 'P0042', 'an error of 1 MB keeps its SQLSTATE');
SELECT is(status_message, 'x' || repeat('ä', 32767),
    'its span has 64 kB of it, in whole characters') FROM otel.span_queue;
SELECT is(events[1].attributes ->> 'exception.message', status_message,
    'the exception has 64 kB of the message')
  FROM otel.span_queue;
SELECT ok(octet_length(events[1].attributes ->> 'exception.stacktrace') BETWEEN 65535 AND 65536,
    'the exception has 64 kB of the stack trace') FROM otel.span_queue;
TRUNCATE otel.span_queue;
SELECT repeat('{"a":', 2000) || '1' || repeat('}', 2000) AS deep \gset
CALL otel.trace_job('fails deep', 'SET max_stack_depth = 200; SELECT fails()',
    attributes => :'deep');
\set sqlstate :LAST_ERROR_SQLSTATE
\set message :LAST_ERROR_MESSAGE
SELECT is(:'sqlstate' || :'message', '23505no paper',
    'an error goes on when the span cannot take it');
SELECT is(format('%s: %s', status_code, status_message), '2: no paper',
    'an error is the span''s status although it cannot take the exception')
  FROM otel.span_queue;
TRUNCATE otel.span_queue;

-- a job that runs into statement_timeout
SET statement_timeout = '20ms';
CALL otel.trace_job('slow', 'SELECT pg_sleep(60)');
\set sqlstate :LAST_ERROR_SQLSTATE
RESET statement_timeout;
SELECT is(:'sqlstate'::text, '57014', 'a job that is cancelled');
SELECT is(format('%s %s', status_message, attributes ->> 'error.type'),
    'canceling statement due to statement timeout query_canceled', 'says so') FROM otel.span_queue;
TRUNCATE otel.span_queue;

-- a job that ends its span itself, or leaves others open
CALL otel.trace_job('ends itself', $$ SELECT otel.end_span('ok') $$);
SELECT is(array_agg(format('%s %s', name, status_code)), ARRAY['ends itself 1'],
    'a job may end its span itself') FROM otel.span_queue;
TRUNCATE otel.span_queue;
CALL otel.trace_job('leaves one open', $$ SELECT otel.start_span('left open') $$);
SELECT is(array_agg(format('%s %s', name, status_code) ORDER BY name),
    ARRAY['leaves one open 0', 'left open 0'],
    'a job may leave other spans open') FROM otel.span_queue;
TRUNCATE otel.span_queue;

-- a job whose span its scope ends
CALL otel.trace_job('resets', 'RESET ALL; SELECT 1/0');
BEGIN; COMMIT;
SELECT is(format('%s: %s', status_code, status_message), '2: division by zero',
    'a job that resets its session and fails tells its error') FROM otel.span_queue;
SELECT is(attributes, '{"error.type": "division_by_zero", "db.response.status_code": "22012"}',
    'a job that resets its session and fails has error.type') FROM otel.span_queue;
SELECT is(events[1].name || cardinality(events), 'exception1',
    'a job that resets its session and fails has the exception')
  FROM otel.span_queue;
TRUNCATE otel.span_queue;
CALL otel.trace_job('resets', 'RESET ALL; CREATE TABLE reset_at AS SELECT clock_timestamp() AS at');
SET client_min_messages = error;
SET search_path = public, otel;
SELECT is(status_code::int, 0, 'one that resets its session and succeeds has succeeded')
  FROM otel.span_queue;
SELECT cmp_ok(end_time, '>=', at,
    'the span of a job that resets its session ends when the job is over')
  FROM otel.span_queue, reset_at;
TRUNCATE otel.span_queue;
CALL otel.trace_job('crowded',
    'SELECT otel.start_span($$open$$) FROM generate_series(1, 1000); SELECT 1/0');
BEGIN; COMMIT;
SELECT is(format('%s: %s %s', status_code, status_message, events[1].name),
    '2: division by zero exception', 'a job that leaves 1,000 spans open and fails tells its error')
  FROM otel.span_queue WHERE name = 'crowded';
TRUNCATE otel.span_queue;
BEGIN;
SELECT otel.start_span('around') AS around \gset
CALL otel.trace_job('', $$ SELECT otel.start_span('left open') $$);
SELECT current_trace_context() = :'around' AS current \gset
SELECT otel.end_span();
COMMIT;
SELECT ok(:'current', 'a job without a name runs all the same, and ends nobody else''s span');
CALL otel.trace_job('none', NULL);
\set sqlstate :LAST_ERROR_SQLSTATE
SELECT is(:'sqlstate'::text, '22004', 'a job that is NULL is an error');
TRUNCATE otel.span_queue;
SET otel.sdk_disabled = on;
CALL otel.trace_job('disabled', 'INSERT INTO t VALUES (9)');
CALL otel.trace_job('disabled', 'SELECT 1/0');
RESET otel.sdk_disabled;
SELECT is((SELECT count(*) FROM t WHERE id = 9)::text || (SELECT count(*) FROM otel.span_queue),
    '10', 'with a disabled SDK a job runs and nothing is recorded');
SELECT * FROM finish();
