-- The examples of docs/reference.md; reference.py takes what follows a line "-- name".
-- before
CREATE TABLE jobs (id bigint GENERATED ALWAYS AS IDENTITY, created_at timestamptz DEFAULT now());
SELECT otel.add_trace_context('jobs');
INSERT INTO jobs DEFAULT VALUES
/*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',tracestate='vendor%3D1'*/;

-- trace_id
SELECT otel.trace_id(trace_context) FROM jobs;
-- → 4bf92f3577b34da6a3ce929d0e0e4736

-- span_id
SELECT otel.span_id(trace_context) FROM jobs;
-- → 00f067aa0ba902b7

-- trace_flags
SELECT otel.trace_flags(trace_context) FROM jobs;
-- → 1

-- trace_state
SELECT otel.trace_state(trace_context) FROM jobs;
-- → vendor=1

-- is_sampled
SELECT count(*) FROM jobs WHERE otel.is_sampled(trace_context);
-- → 1

-- traceparent
SELECT otel.traceparent(trace_context) FROM jobs;
-- → 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01

-- from_traceparent
SELECT otel.from_traceparent('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', 'vendor=1');
-- → 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01;vendor=1
SELECT otel.from_traceparent('not a traceparent') IS NULL;
-- → t

-- from_ids
SELECT otel.from_ids('4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7', 1);
-- → 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01

-- extract
SELECT otel.extract(jsonb_build_object(
    'Traceparent', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'));
-- → 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01

-- inject
SELECT '{"content-type": "text/plain"}'::jsonb || otel.inject(NULL);
-- → {"content-type": "text/plain"}
SELECT otel.inject(trace_context) ->> 'tracestate' FROM jobs;
-- → vendor=1

-- current_trace_context
CREATE TABLE outbox (message text, context otel.trace_context DEFAULT otel.current_trace_context());
INSERT INTO outbox VALUES ('hello')
/*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/;
SELECT otel.trace_id(context) FROM outbox;
-- → 4bf92f3577b34da6a3ce929d0e0e4736

-- set_trace_context
BEGIN;
SELECT otel.set_trace_context('00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-01');
INSERT INTO jobs DEFAULT VALUES RETURNING otel.span_id(trace_context);
-- → 1111111111111111
COMMIT;

-- capture_trace_context
CREATE TABLE mails (id int, headers jsonb);
CREATE TRIGGER trace_context BEFORE INSERT ON mails
    FOR EACH ROW EXECUTE FUNCTION otel.capture_trace_context('headers');
INSERT INTO mails VALUES (1, '{"to": "you"}')
/*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/;
SELECT headers ->> 'to', otel.trace_id(otel.extract(headers)) FROM mails;
-- → you|4bf92f3577b34da6a3ce929d0e0e4736

-- add_trace_context
CREATE TABLE report_requests (id int);
SELECT otel.add_trace_context('report_requests', 'requested_by');

-- span_link
SELECT (otel.span_link(trace_context, '{"job.id": 1}')).attributes FROM jobs LIMIT 1;
-- → {"job.id": 1}

-- link_agg
SELECT cardinality(otel.link_agg(trace_context)) FROM jobs;
-- → 2
SELECT otel.link_agg(trace_context, jsonb_build_object('job.id', id)) IS NOT NULL FROM jobs;
-- → t

-- span_contexts
SELECT trace_id, span_id FROM otel.span_contexts(ARRAY(SELECT trace_context FROM jobs), 1);
-- → 4bf92f3577b34da6a3ce929d0e0e4736|00f067aa0ba902b7

-- span_links
SELECT span_id, attributes
  FROM otel.span_links((SELECT otel.link_agg(trace_context, '{"retry": true}') FROM jobs), 1);
-- → 00f067aa0ba902b7|{"retry": true}

-- links_json
SELECT otel.links_json(otel.link_agg(trace_context)) #>> '{1,context,spanId}' FROM jobs;
-- → 1111111111111111

-- start_span
BEGIN;
SELECT otel.start_span('process jobs', otel.link_agg(trace_context), kind => 'consumer',
                       root => true) IS NOT NULL
  FROM jobs;
-- → t
SELECT otel.end_span();
COMMIT;

-- end_span
BEGIN;
SELECT otel.start_span('count jobs') IS NOT NULL;
-- → t
SELECT otel.end_span(attributes => jsonb_build_object('jobs', (SELECT count(*) FROM jobs)));
COMMIT;

-- set_attributes
BEGIN;
SELECT otel.start_span('load') IS NOT NULL;
-- → t
SELECT otel.set_attributes('{"rows.loaded": 120, "region": "north"}');
SELECT otel.end_span();
COMMIT;

-- add_event
BEGIN;
SELECT otel.start_span('load') IS NOT NULL;
-- → t
SELECT otel.add_event('file read', '{"file.name": "orders.csv"}');
SELECT otel.end_span();
COMMIT;

-- record_exception
DO $$
BEGIN
    PERFORM otel.start_span('divide');
    BEGIN
        PERFORM 1 / 0;
    EXCEPTION WHEN division_by_zero THEN
        PERFORM otel.record_exception(SQLSTATE, SQLERRM);
        PERFORM otel.end_span('error', SQLERRM);
    END;
END
$$;

-- add_links
BEGIN;
SELECT otel.start_span('process jobs', kind => 'consumer', root => true) IS NOT NULL;
-- → t
SELECT otel.add_links(otel.link_agg(trace_context)) FROM jobs;
SELECT otel.end_span();
COMMIT;

-- set_status
BEGIN;
SELECT otel.start_span('send mail') IS NOT NULL;
-- → t
SELECT otel.set_status('error', 'mailbox full');
SELECT otel.end_span();
COMMIT;

-- update_name
BEGIN;
SELECT otel.start_span('process') IS NOT NULL;
-- → t
SELECT otel.update_name('process mails');
SELECT otel.end_span();
COMMIT;

-- discard_span
BEGIN;
SELECT otel.start_span('process jobs') IS NOT NULL;
-- → t
SELECT otel.discard_span();
COMMIT;

-- record_span
SELECT otel.record_span('process jobs', now(), links => otel.link_agg(trace_context),
                        kind => 'consumer', root => true) IS NOT NULL FROM jobs;
-- → t

-- record_wait
BEGIN;
SELECT otel.start_span('process jobs', otel.link_agg(trace_context), root => true) IS NOT NULL
  FROM jobs;
-- → t
SELECT count(otel.record_wait(trace_context, created_at)) FROM jobs;
-- → 2
SELECT otel.end_span();
COMMIT;

-- trace_job
CALL otel.trace_job('clean up', $$DELETE FROM jobs WHERE created_at < now() - interval '90 days'$$);

-- force_flush
SELECT otel.force_flush(10000) IS NOT NULL;
-- → t

-- retry_failed
SELECT otel.retry_failed();
-- → 0

-- estimate_spans
SELECT spans, bytes, oldest, pg_size_pretty(max_bytes) FROM otel.estimate_spans('failed_spans');
-- → 0|0||1024 MB

-- capture_into
CREATE TABLE notifications (id int, metadata jsonb);
SELECT otel.capture_into('notifications', 'metadata', path => '{otel}');
INSERT INTO notifications VALUES (1)
/*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/;
SELECT metadata -> 'otel' ->> 'traceparent' FROM notifications;
-- → 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01

-- remove_capture
CREATE TABLE letters (id int);
SELECT otel.add_trace_context('letters');
SELECT otel.remove_capture('letters', 'trace_context');

-- links_to
SELECT cardinality(otel.links_to(otel.link_agg(trace_context), '4bf92f3577b34da6a3ce929d0e0e4736'))
  FROM jobs;
-- → 2

-- spans_around
SELECT name, state, status_code
  FROM otel.spans_around('4bf92f3577b34da6a3ce929d0e0e4736', now() - interval '1 hour');

-- find_trace
SELECT what, place, detail ->> 'id' AS id
  FROM otel.find_trace('4bf92f3577b34da6a3ce929d0e0e4736', tables => ARRAY['jobs'::regclass])
 WHERE what = 'row';
-- → row|public.jobs.trace_context|1
-- → row|public.jobs.trace_context|2

-- linked_from
SELECT name, state, end_time - start_time AS took
  FROM otel.linked_from('4bf92f3577b34da6a3ce929d0e0e4736', now() - interval '1 hour');

-- mermaid
SELECT otel.mermaid(trace_context) LIKE 'flowchart %' FROM jobs LIMIT 1;
-- → t

-- trace_context_sources
SELECT otel.span_id(context), answers FROM otel.trace_context_sources() WHERE source = 'comment'
/*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/;
-- → 00f067aa0ba902b7|t
