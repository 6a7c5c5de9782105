-- otel.current_trace_context(): which context each way to insert a row records, and from which
-- source. A context is shown as the last digit of its trace id; :from_1 is a comment that holds
-- context 1.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS otel_links;
SET search_path = public, otel;
RESET client_min_messages;
\set tp1 '00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01'
\set tp2 '00-4bf92f3577b34da6a3ce929d0e0e4732-00f067aa0ba902b7-01'
\set tp3 '00-4bf92f3577b34da6a3ce929d0e0e4733-00f067aa0ba902b7-01'
\set from_1 '/*traceparent=\'00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01\'*/'
\set from_2 '/*traceparent=\'00-4bf92f3577b34da6a3ce929d0e0e4732-00f067aa0ba902b7-01\'*/'
\set from_3 '/*traceparent=\'00-4bf92f3577b34da6a3ce929d0e0e4733-00f067aa0ba902b7-01\'*/'

CREATE TABLE jobs (
    id     int GENERATED ALWAYS AS IDENTITY,
    how    text UNIQUE,
    n      int DEFAULT 0,
    trace_context otel.trace_context DEFAULT otel.current_trace_context()
);
CREATE VIEW recorded AS
    SELECT how, right(otel.trace_id(trace_context), 1) AS context,
        otel.trace_state(trace_context) AS state
      FROM jobs ORDER BY id;

-- nothing is said, nothing is recorded
INSERT INTO jobs (how) VALUES ('no context');
TABLE recorded;

-- comments: SQLCommenter, its encodings, and what else is in use
TRUNCATE jobs;
INSERT INTO jobs (how) VALUES ('before') :from_1;
:from_1 INSERT INTO jobs (how) VALUES ('in front');
INSERT INTO jobs (how)
    /*action='x',traceparent='00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01',tracestate='a%3D1%2Cb%%3D2'*/
    VALUES ('tracestate');
INSERT INTO jobs (how)
    /*application:shop,traceparent:00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01*/
    VALUES ('marginalia');
INSERT INTO jobs (how)
    VALUES ('unquoted') /*traceparent=00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01*/;
INSERT INTO jobs (how)
    VALUES ('two comments of one trace') :from_1
    /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b8-01',tracestate='last=1'*/;
INSERT INTO jobs (how) VALUES ('comments of two traces') :from_1 :from_2;
TABLE recorded;

-- what only looks like a comment
TRUNCATE jobs;
INSERT INTO jobs (how) VALUES ($$dollar quote$$ || left(:'from_1', 0));
INSERT INTO jobs (how)
    VALUES ('literal'
    || left('/*traceparent=00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01*/', 0));
INSERT INTO jobs (how) SELECT 'quoted identifier'
    AS "/*traceparent=00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01*/";
INSERT INTO jobs (how) VALUES ('line comment')
    -- /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01'*/
;
INSERT INTO jobs (how)
    VALUES ('escape string'
    || left(E'\'/*traceparent=00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01*/', 0));
INSERT INTO jobs (how) VALUES ('malformed') /*traceparent='00-0-0-01'*/;
TABLE recorded;

-- several statements in one message
TRUNCATE jobs;
INSERT INTO jobs (how) VALUES ('first') :from_1\; INSERT INTO jobs (how) VALUES ('second')\;
    :from_3 INSERT INTO jobs (how) VALUES ('third');
INSERT INTO jobs (how) VALUES ('one comment for two')\;
    INSERT INTO jobs (how) VALUES ('the second of them')\; :from_2 ;
BEGIN\; INSERT INTO jobs (how) VALUES ('between BEGIN and COMMIT')\; COMMIT :from_3;
:from_1 INSERT INTO jobs (how) VALUES ('twice the same')\;
    INSERT INTO jobs (how) VALUES ('in the middle')\;
    INSERT INTO jobs (how) VALUES ('twice') :from_1;
TABLE recorded;

-- all ways to insert
TRUNCATE jobs;
INSERT INTO jobs (how) VALUES ('multi-row 1'), ('multi-row 2') :from_1;
INSERT INTO jobs (how) SELECT 'select ' || i FROM generate_series(1, 2) i :from_2;
COPY jobs (how) FROM STDIN :from_3;
copy 1
copy 2
\.
INSERT INTO jobs (how) VALUES ('multi-row 1') ON CONFLICT (how) DO NOTHING :from_2;
INSERT INTO jobs AS j (how) VALUES ('multi-row 2')
    ON CONFLICT (how) DO UPDATE SET n = j.n + 1 :from_2;
INSERT INTO jobs (how) VALUES ('copy 2')
    ON CONFLICT (how) DO UPDATE SET trace_context = excluded.trace_context :from_1;
MERGE INTO jobs USING (VALUES ('merge'), ('copy 1')) AS v(how) ON v.how = jobs.how
    WHEN MATCHED THEN UPDATE SET n = 1
    WHEN NOT MATCHED THEN INSERT (how) VALUES (v.how) :from_1;
WITH w AS (INSERT INTO jobs (how) VALUES ('writable CTE') RETURNING trace_context)
    SELECT right(otel.trace_id(trace_context), 1) AS returned FROM w :from_2;
INSERT INTO jobs (how, trace_context) VALUES ('DEFAULT', DEFAULT) :from_3;
INSERT INTO jobs (how, trace_context) VALUES ('named by the client', :'tp2') :from_1;
DO $$ BEGIN INSERT INTO jobs (how) VALUES ('DO'); END $$ :from_1;
CREATE TABLE made :from_2 AS SELECT otel.current_trace_context() AS trace_context;
INSERT INTO jobs (how, trace_context) SELECT 'CREATE TABLE AS', trace_context FROM made;
EXPLAIN ANALYZE INSERT INTO jobs (how) VALUES ('EXPLAIN ANALYZE') :from_3 \g /dev/null
TABLE recorded;
DROP TABLE made;

-- a partitioned table, a foreign key's and an ordinary trigger's own statements
TRUNCATE jobs;
CREATE TABLE parts (k int,
    trace_context otel.trace_context DEFAULT otel.current_trace_context()) PARTITION BY LIST (k);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE parts_2 PARTITION OF parts DEFAULT;
INSERT INTO parts VALUES (1), (2) :from_1;
SELECT tableoid::regclass, right(otel.trace_id(trace_context), 1) AS context FROM parts ORDER BY 1;
CREATE TABLE requests (id int PRIMARY KEY);
CREATE TABLE items (request int REFERENCES requests ON DELETE CASCADE);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO jobs (how) VALUES (TG_ARGV[0]); RETURN NULL; END $$;
CREATE TRIGGER note AFTER INSERT ON requests FOR EACH ROW EXECUTE FUNCTION note('row trigger');
CREATE TRIGGER note AFTER DELETE ON items
    FOR EACH ROW EXECUTE FUNCTION note('trigger behind a foreign key');
INSERT INTO requests VALUES (1) :from_1;
INSERT INTO items VALUES (1) :from_2;
DELETE FROM requests :from_3;
ALTER TABLE jobs DROP CONSTRAINT jobs_how_key;
INSERT INTO requests VALUES (2);
-- deferred to the end of a transaction that is one statement, and of one that COMMIT ends
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON items DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION note('deferred');
INSERT INTO items VALUES (2) :from_2;
BEGIN;
INSERT INTO items VALUES (2) :from_1;
COMMIT :from_3;
-- and where COMMIT is one statement of a message
BEGIN\; INSERT INTO items VALUES (2) :from_1\; COMMIT :from_2;
BEGIN\; INSERT INTO items VALUES (2) :from_1\;
    INSERT INTO jobs (how) VALUES ('before COMMIT') :from_3\; COMMIT;
TABLE recorded;

-- rules: an action has the comment of its statement; one in the place of a statement of several
-- has none
TRUNCATE jobs;
CREATE TABLE ruled (n int);
INSERT INTO ruled VALUES (1);
CREATE RULE also AS ON UPDATE TO ruled DO ALSO INSERT INTO jobs (how) VALUES ('ALSO ' || new.n);
CREATE RULE instead AS ON DELETE TO ruled DO INSTEAD INSERT INTO jobs (how) VALUES ('INSTEAD');
UPDATE ruled SET n = 2 :from_1;
DELETE FROM ruled :from_2;
UPDATE ruled SET n = 3 :from_1\; UPDATE ruled SET n = 4 :from_2\; UPDATE ruled SET n = 5;
DELETE FROM ruled :from_1\; DELETE FROM ruled :from_2;
TABLE recorded;

-- functions: what they run belongs to the client's statement
TRUNCATE jobs;
CREATE FUNCTION enqueue(how text) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO jobs (how) VALUES (how); END $$;
CREATE FUNCTION enqueue_returning(how text) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE r record; result text = '';
    BEGIN
        FOR r IN INSERT INTO jobs (how) VALUES (how), (how || ' again') RETURNING trace_context LOOP
            result = result || right(otel.trace_id(r.trace_context), 1);
        END LOOP;
        RETURN result;
    END $$;
BEGIN;
SELECT enqueue('called once') :from_1 \gset
SELECT enqueue('called twice') :from_2 \gset
COMMIT;
SELECT enqueue('first of a message') :from_1\; SELECT enqueue('second of a message') :from_2\;
    SELECT enqueue('third of a message') \gset
SELECT enqueue_returning('FOR IN INSERT RETURNING') :from_1;
SELECT enqueue_returning('FOR IN INSERT RETURNING, next') :from_2;
BEGIN;
DECLARE c CURSOR FOR SELECT enqueue('cursor ' || i) FROM generate_series(1, 3) i :from_1;
FETCH 1 FROM c :from_2 \gset
FETCH 1 FROM c :from_3 \gset
FETCH 1 FROM c \gset
COMMIT;
TABLE recorded;

-- SQL PREPARE: its text is not that of the statement that runs
TRUNCATE jobs;
PREPARE p(text) AS INSERT INTO jobs (how) VALUES ($1) :from_1;
EXECUTE p('EXECUTE without a comment');
EXECUTE p('EXECUTE with one') :from_2;
DEALLOCATE p;
TABLE recorded;

-- nor are texts that are only in the same message
TRUNCATE jobs;
PREPARE p AS INSERT INTO jobs (how) VALUES ('PREPARE and EXECUTE in one message') :from_1\;
    EXECUTE p :from_2;
EXECUTE p;
BEGIN\; DECLARE c CURSOR FOR SELECT enqueue('DECLARE and FETCH in one message')
  FROM generate_series(1, 2) :from_1\; FETCH 1 FROM c :from_2\; FETCH 1 FROM c\; COMMIT;
DEALLOCATE p;
TABLE recorded;

-- settings: in this transaction before the comment, for the session after it
TRUNCATE jobs;
BEGIN;
SET LOCAL otel.traceparent = :'tp1';
INSERT INTO jobs (how) VALUES ('SET LOCAL') :from_2;
COMMIT;
INSERT INTO jobs (how) VALUES ('after COMMIT') :from_2;
BEGIN;
SET LOCAL otel.traceparent = :'tp1';
ROLLBACK;
INSERT INTO jobs (how) VALUES ('after ROLLBACK');
BEGIN;
SET LOCAL otel.traceparent = :'tp1';
SAVEPOINT s;
SET LOCAL otel.traceparent = :'tp2';
INSERT INTO jobs (how) VALUES ('in a subtransaction');
SAVEPOINT t;
ROLLBACK TO s;
INSERT INTO jobs (how) VALUES ('after its rollback');
COMMIT;
BEGIN;
SET otel.traceparent = :'tp3';
INSERT INTO jobs (how) VALUES ('SET in this transaction') :from_2;
COMMIT;
INSERT INTO jobs (how) VALUES ('SET for the session, comment') :from_2;
INSERT INTO jobs (how) VALUES ('SET for the session');
BEGIN;
SET LOCAL otel.traceparent = '';
INSERT INTO jobs (how) VALUES ('empty is none') :from_2;
INSERT INTO jobs (how) VALUES ('empty hides the session''s');
COMMIT;
BEGIN;
SET LOCAL otel.traceparent = 'nonsense';
INSERT INTO jobs (how) VALUES ('nonsense is none') :from_2;
COMMIT;
RESET otel.traceparent;
TABLE recorded;

-- set_trace_context() sets both, and never raises
TRUNCATE jobs;
BEGIN;
SELECT otel.set_trace_context(:'tp1', 'a=1,b=2') \gset
INSERT INTO jobs (how) VALUES ('until the end of the transaction');
SELECT otel.set_trace_context(:'tp2') \gset
INSERT INTO jobs (how) VALUES ('the old tracestate is gone');
SELECT otel.set_trace_context(NULL) \gset
INSERT INTO jobs (how) VALUES ('NULL');
SELECT otel.set_trace_context(:'tp3', '=') \gset
INSERT INTO jobs (how) VALUES ('invalid tracestate');
SELECT otel.set_trace_context('nonsense', 'a=1') \gset
INSERT INTO jobs (how) VALUES ('invalid traceparent') :from_2;
COMMIT;
INSERT INTO jobs (how) VALUES ('after COMMIT');
SELECT otel.set_trace_context(:'tp1', 'a=1', is_local => false) \gset
INSERT INTO jobs (how) VALUES ('for the session');
BEGIN;
SET LOCAL otel.traceparent = :'tp2';
INSERT INTO jobs (how) VALUES ('no tracestate of another occasion');
ROLLBACK;
BEGIN;
SET LOCAL otel.tracestate = 'b=2';
INSERT INTO jobs (how) VALUES ('a tracestate alone is none');
ROLLBACK;
SELECT otel.set_trace_context(NULL, NULL, false) \gset
INSERT INTO jobs (how) VALUES ('cleared');
TABLE recorded;

-- request.headers as PostgREST sets it, and pg_tracing's setting: after all others
TRUNCATE jobs;
BEGIN;
SELECT set_config('request.headers',
    format('{"host": "x", "traceparent": "%s", "tracestate": "a=1"}', :'tp1'), true) \gset
INSERT INTO jobs (how) VALUES ('request.headers');
INSERT INTO jobs (how) VALUES ('request.headers and a comment') :from_2;
INSERT INTO jobs (how) SELECT 'request.headers changed within the statement' WHERE
    set_config('request.headers', format('{"Traceparent": "%s"}', :'tp3'), true) <> '';
INSERT INTO jobs (how) SELECT 'row '
    || set_config('request.headers', format('{"traceparent": "00-%s-00f067aa0ba902b7-01"}',
    '4bf92f3577b34da6a3ce929d0e0e473' || i), true) FROM generate_series(4, 5) i;
SELECT set_config('request.headers',
    format('{"traceparent": "%s", "Traceparent": "%s"}', :'tp1', :'tp2'), true) \gset
INSERT INTO jobs (how) VALUES ('two spellings are none');
SELECT set_config('request.headers', '{"traceparent": ', true) \gset
INSERT INTO jobs (how) VALUES ('no JSON is none');
SELECT set_config('pg_tracing.trace_context',
    format('traceparent=''%s'',tracestate=''t=1''', :'tp2'), true) \gset
INSERT INTO jobs (how) VALUES ('pg_tracing.trace_context');
SELECT set_config('request.headers', format('{"traceparent": "%s"}', :'tp1'), true) \gset
INSERT INTO jobs (how) VALUES ('request.headers before pg_tracing');
COMMIT;
INSERT INTO jobs (how) VALUES ('after COMMIT');
SELECT regexp_replace(how, '00-.*', '…') AS how, context, state FROM recorded;

-- what is malformed in one source leaves it to the next
TRUNCATE jobs;
BEGIN;
SET LOCAL otel.traceparent = '00-00000000000000000000000000000000-00f067aa0ba902b7-01';
INSERT INTO jobs (how) VALUES ('SET LOCAL, then the comment') :from_2;
COMMIT;
SET otel.traceparent = :'tp3';
INSERT INTO jobs (how)
    VALUES ('a comment, then the session')
    /*traceparent='ff-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01'*/;
SET otel.traceparent = '00-4BF92F3577B34DA6A3CE929D0E0E4731-00F067AA0BA902B7-01';
SET request.headers = '{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4734-00f067aa0ba902b7-01"}';
INSERT INTO jobs (how) VALUES ('the session, then request.headers');
SET request.headers = '{"traceparent": 1}';
SET pg_tracing.trace_context
    = 'traceparent=''00-4bf92f3577b34da6a3ce929d0e0e4735-00f067aa0ba902b7-01''';
INSERT INTO jobs (how) VALUES ('request.headers, then pg_tracing.trace_context');
SET pg_tracing.trace_context = 'traceparent=''00-''';
INSERT INTO jobs (how) VALUES ('pg_tracing.trace_context, then none');
RESET otel.traceparent;
RESET request.headers;
RESET pg_tracing.trace_context;
TABLE recorded;

-- the open span before all others; what a job calls sees the span, not the caller's comment
TRUNCATE jobs;
BEGIN;
SET LOCAL otel.traceparent = :'tp1';
SELECT otel.start_span('job') AS span \gset
SELECT enqueue('in a span') :from_2 \gset
SELECT how, trace_context = :'span' AS is_the_span, context AS trace FROM jobs
    JOIN recorded USING (how);
SELECT otel.end_span() \gset
INSERT INTO jobs (how) VALUES ('after the span');
COMMIT;
TABLE recorded;
DO $$
    DECLARE span otel.trace_context;
    BEGIN
        INSERT INTO jobs (how) VALUES ('before a span of the same statement');
        span = otel.start_span('job', root => true);
        INSERT INTO jobs (how) VALUES ('in a span of the same statement');
        ASSERT (SELECT trace_context = span FROM jobs ORDER BY id DESC LIMIT 1);
        PERFORM otel.end_span();
        INSERT INTO jobs (how) VALUES ('after a span of the same statement');
    END $$ :from_2;
SELECT how, context FROM recorded WHERE how !~ '^in a span';

-- otel.propagators without tracecontext turns capture off; SET ROLE changes nothing
TRUNCATE jobs;
SET otel.propagators = 'none';
INSERT INTO jobs (how) VALUES ('none') :from_1;
SET otel.propagators = 'baggage';
INSERT INTO jobs (how) VALUES ('baggage') :from_1;
SET otel.propagators = 'baggage, tracecontext';
INSERT INTO jobs (how) VALUES ('tracecontext') :from_1;
RESET otel.propagators;
CREATE ROLE regress_otel_client;
GRANT INSERT ON jobs TO regress_otel_client;
SET ROLE regress_otel_client;
INSERT INTO jobs (how) VALUES ('SET ROLE') :from_2;
BEGIN;
SELECT otel.set_trace_context(:'tp3') \gset
INSERT INTO jobs (how) VALUES ('SET ROLE, set_trace_context') :from_2;
COMMIT;
RESET ROLE;
TABLE recorded;

DROP OWNED BY regress_otel_client;
DROP ROLE regress_otel_client;
DROP VIEW recorded;
DROP TABLE jobs, parts, items, requests, ruled;
DROP FUNCTION note, enqueue, enqueue_returning;
