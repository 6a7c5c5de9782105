-- A scheduled job takes all pending report requests.  One of them fails; the others do not suffer,
-- and every request finds its way into the job's links.
\set QUIET on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS otel_links;
SET otel.traces_exporter = none;
SELECT plan(7);

CREATE TABLE report_request (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer       text NOT NULL,
    months         int NOT NULL,
    state          text NOT NULL DEFAULT 'pending',
    average        numeric,
    trace_context  otel.trace_context DEFAULT otel.current_trace_context()
);
-- three requests arrive, each from a request of its own
INSERT INTO report_request (customer, months) VALUES ('anna', 12)
    /*traceparent='00-0000000000000000000000000000000a-000000000000000a-01'*/;
INSERT INTO report_request (customer, months) VALUES ('bert', 0)
    /*traceparent='00-0000000000000000000000000000000b-000000000000000b-01'*/;
INSERT INTO report_request (customer, months) VALUES ('carla', 3)
    /*traceparent='00-0000000000000000000000000000000c-000000000000000c-01'*/;

CREATE PROCEDURE make_reports() LANGUAGE plpgsql AS $$
DECLARE
    request report_request;
BEGIN
    PERFORM otel.start_span('make_reports',
        links => (SELECT otel.link_agg(trace_context, jsonb_build_object('report.id', id)
            ORDER BY id)
                    FROM report_request WHERE state = 'pending'));
    FOR request IN SELECT * FROM report_request WHERE state = 'pending'
     ORDER BY id FOR UPDATE SKIP LOCKED LOOP
        BEGIN
            PERFORM otel.start_span('make_report', ARRAY[otel.span_link(request.trace_context)],
                                    attributes => jsonb_build_object('report.customer',
                                        request.customer));
            UPDATE report_request SET state = 'done', average = 1200 / months WHERE id = request.id;
            PERFORM otel.end_span('ok');
        EXCEPTION WHEN OTHERS THEN
            PERFORM otel.record_exception(SQLSTATE, SQLERRM);
            PERFORM otel.end_span('error', SQLERRM);
            UPDATE report_request SET state = 'failed' WHERE id = request.id;
        END;
    END LOOP;
    PERFORM otel.end_span();
END $$;
CALL make_reports();

SELECT results_eq('SELECT customer, state FROM report_request ORDER BY id',
    $$VALUES ('anna', 'done'), ('bert', 'failed'), ('carla', 'done')$$,
        'one report fails, two are made');
SELECT results_eq(
    $$SELECT name, attributes ->> 'report.customer', status_code::int, status_message
      FROM otel.span_queue ORDER BY start_time$$,
    $$VALUES ('make_reports', NULL, 0, NULL),
             ('make_report', 'anna', 1, NULL),
             ('make_report', 'bert', 2, 'division by zero'),
             ('make_report', 'carla', 1, NULL)$$,
    'one span for the job and one for each report; only that of the failed one has status error');
SELECT results_eq(
    $$SELECT l.span_id, l.attributes FROM otel.span_queue, otel.span_links(links) AS l
     WHERE name = 'make_reports'$$,
    $$VALUES ('000000000000000a', '{"report.id": 1}'::jsonb),
        ('000000000000000b', '{"report.id": 2}'), ('000000000000000c', '{"report.id": 3}')$$,
    'the job is linked to all requests, also to that which failed');
SELECT is(array_agg(DISTINCT parent_span_id),
    (SELECT array_agg(otel.span_id(context)) FROM otel.span_queue WHERE name = 'make_reports'),
          'the reports'' spans are children of the job''s')
  FROM otel.span_queue WHERE name = 'make_report';
SELECT results_eq(
    $$SELECT q.attributes ->> 'report.customer', l.span_id
      FROM otel.span_queue AS q, otel.span_links(links) AS l
       WHERE name = 'make_report' ORDER BY start_time$$,
    $$VALUES ('anna', '000000000000000a'), ('bert', '000000000000000b'),
        ('carla', '000000000000000c')$$,
    'each is linked to its own request');
SELECT is((e).name, 'exception', 'the failed report''s span tells the exception')
  FROM otel.span_queue, unnest(events) AS e;
SELECT is((e).attributes ->> 'exception.message', 'division by zero',
    'the exception of the failed report''s span has its message')
  FROM otel.span_queue, unnest(events) AS e;
SELECT * FROM finish();
