-- Spans: what a job says about its run, what waits in the queue afterwards, and what misuse is
-- told. Each rule by itself is in test/pgtap/spans_*.sql, transactions and sessions are in
-- test/t/04*.pl. A database of its own, from which nothing is sent, so that the spans can be
-- read.
SET client_min_messages = warning;
DROP DATABASE IF EXISTS regress_otel_links_spans;
CREATE DATABASE regress_otel_links_spans TEMPLATE template0;
ALTER DATABASE regress_otel_links_spans SET otel.traces_exporter = none;
ALTER DATABASE regress_otel_links_spans SET search_path = otel, public;
\set regression_database :DBNAME
\c regress_otel_links_spans
CREATE EXTENSION otel_links;
\pset null '<null>'

-- ids are random: rows name them by their places
CREATE TEMPORARY VIEW spans AS
SELECT q.name, coalesce(
           (SELECT p.name FROM otel.span_queue p
             WHERE otel.trace_id(p.context) = otel.trace_id(q.context)
               AND otel.span_id(p.context) = q.parent_span_id), '-') AS parent, q.kind,
                   q.status_code AS status, q.status_message AS message,
       q.attributes, cardinality(q.links::otel.span_link[]) AS links,
       cardinality(q.events) AS events, otel.trace_flags(q.context) AS flags,
       q.parent_is_remote AS remote
  FROM otel.span_queue q;

-- a scheduled job: one span, linked to what waits, around the work
CREATE TABLE report_request (id int, trace_context otel.trace_context);
INSERT INTO report_request VALUES
    (1, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'),
    (2, '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01;vendor=1'),
    (3, NULL);
BEGIN;
SELECT start_span('generate reports', kind => 'consumer',
                  links => (SELECT link_agg(trace_context, jsonb_build_object('id', id))
                      FROM report_request),
                  attributes => '{"batch.size": 3}') IS NOT NULL AS started;
SELECT start_span('render') IS NOT NULL AS started;
SELECT end_span();
SELECT set_attributes('{"batch.done": 2}');
SELECT add_event('rendered', '{"pages": 12}', '2026-01-02 03:04:05+00');
SELECT end_span('ok');
COMMIT;
SELECT * FROM spans ORDER BY name;
SELECT links FROM otel.span_queue WHERE name = 'generate reports';
SELECT events FROM otel.span_queue WHERE name = 'generate reports';
TRUNCATE otel.span_queue;

-- a finished span in one call
SELECT record_span('import', '2026-01-02 03:04:05+00', '2026-01-02 03:04:06+00', status => 'error',
                   message => 'no file', kind => 'client',
                   parent => '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01;vendor=1')
                       IS NOT NULL AS recorded;
SELECT name, otel.trace_id(context), parent_span_id, otel.trace_state(context),
    start_time AT TIME ZONE 'UTC' AS start_time,
       end_time AT TIME ZONE 'UTC' AS end_time, kind, status_code, status_message, parent_is_remote
  FROM otel.span_queue;
TRUNCATE otel.span_queue;

-- jobs that fail: the error goes on as it was
CALL trace_job('nightly', 'SELECT 1/0', attributes => '{"cron": true}');
CALL trace_job('nightly', 'SELECT nonsense FROM nowhere');
CALL trace_job('nightly', 'SELECT');
SELECT name, status, message, attributes, events FROM spans;
SELECT e.name, e.attributes FROM otel.span_queue, unnest(events) e
 WHERE status_message = 'division by zero';
TRUNCATE otel.span_queue;

-- what a job may not do
CALL trace_job('nightly', 'COMMIT');
CALL trace_job('nightly', 'COPY report_request TO STDOUT');
CALL trace_job('nightly', NULL);
CALL trace_job('nightly', 'SELECT 1; SELEC 2');
SELECT 'the next transaction queues their spans';
SELECT name, status, message FROM spans;
TRUNCATE otel.span_queue;

-- an exception that is handled
DO $$
BEGIN
    PERFORM otel.start_span('careful');
    BEGIN
        PERFORM 1 / 0;
    EXCEPTION WHEN division_by_zero THEN
        PERFORM otel.record_exception(SQLSTATE, SQLERRM);
    END;
    PERFORM otel.end_span();
END $$;
SELECT s.name, s.status_code, e.name, e.attributes FROM otel.span_queue s, unnest(s.events) e;
TRUNCATE otel.span_queue;

-- misuse is told, and the statement goes on
SELECT end_span();
SELECT set_attributes('{}');
SELECT start_span('') IS NULL AS nothing_started;
SELECT start_span(NULL) IS NULL AS nothing_started;
BEGIN;
SELECT start_span('misused', kind => 'consumr', attributes => '[1]', start_time => 'infinity',
    scope => 'forever',
                  links => ARRAY[
                      ROW('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'::trace_context,
                      '"no object"'),
                                 ROW(NULL, '[1]'), NULL]::span_link[]) IS NOT NULL AS started;
SELECT set_attributes('"text"');
SELECT add_event('');
SELECT update_name('');
SELECT set_status('fine');
SELECT add_links(
    ARRAY[ROW('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'::trace_context,
    '1')]::span_link[]);
SELECT record_exception(NULL, NULL);
SELECT set_attributes('{"a": 1}', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
SELECT end_span('done', end_time => '1970-01-01');
COMMIT;
SELECT * FROM spans;
TRUNCATE otel.span_queue;

-- with otel.strict it is an error, and nothing has been changed
SET otel.strict = on;
SELECT end_span();
SELECT start_span('');
SELECT start_span('strict', kind => 'consumr');
SELECT start_span('strict', attributes => '[1]');
SELECT start_span('strict',
    links => ARRAY[
    ROW('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'::trace_context,
    '1')]::span_link[]);
SELECT start_span('strict', start_time => '1969-12-31 23:59:59+00');
SELECT current_trace_context() IS NULL AS nothing_started;
RESET otel.strict;

-- spans that nobody ends
SELECT start_span('left open') IS NOT NULL AS started;
SELECT start_span('for the session', scope => 'session') IS NOT NULL AS started;
SELECT current_trace_context() IS NOT NULL AS still_current;
RESET ALL;
SELECT current_trace_context() IS NULL AS gone;
SELECT name, status FROM spans;
TRUNCATE otel.span_queue;

-- a disabled SDK records nothing and still propagates
SET otel.sdk_disabled = on;
BEGIN;
SELECT otel.set_trace_context('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
SELECT start_span('disabled');
SELECT current_trace_context();
SELECT set_attributes('{"a": 1}');
SELECT end_span();
SELECT end_span();
COMMIT;
SELECT record_span('disabled', now()) IS NULL AS nothing_recorded;
CALL trace_job('disabled', 'SELECT 1');
SELECT count(*) FROM otel.span_queue;
RESET otel.sdk_disabled;

-- any role may record spans, and none but the owner reads them
CREATE ROLE regress_otel_links_job;
SET ROLE regress_otel_links_job;
SELECT otel.record_span('of a role', now()) IS NOT NULL AS recorded;
SELECT name FROM otel.span_queue;
SELECT last_value FROM otel.dropped_spans;
RESET ROLE;
SELECT name FROM otel.span_queue;
DROP ROLE regress_otel_links_job;

\c :regression_database
DROP DATABASE regress_otel_links_spans;
