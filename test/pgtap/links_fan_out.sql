-- One event causes several jobs, which run later, each in a trace of its own.  Each job's span is
-- linked back to what triggered it.
\set QUIET on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS otel_links;
SET otel.traces_exporter = none;
SELECT plan(7);

CREATE TABLE notification (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message        text NOT NULL,
    trace_context  otel.trace_context DEFAULT otel.current_trace_context()
);
CREATE TABLE channel_job (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    notification_id  bigint NOT NULL REFERENCES notification,
    channel          text NOT NULL,
    sent_at          timestamptz,
    trace_context    otel.trace_context DEFAULT otel.current_trace_context()
);
CREATE FUNCTION fan_out() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO channel_job (notification_id, channel)
    SELECT new.id, unnest('{email,sms,push,webhook}'::text[]);
    RETURN new;
END $$;
CREATE TRIGGER fan_out AFTER INSERT ON notification FOR EACH ROW EXECUTE FUNCTION fan_out();

INSERT INTO notification (message) VALUES ('your parcel has left')
    /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',tracestate='vendor%3D1'*/;

SELECT results_eq(
    'SELECT DISTINCT trace_context::text FROM (SELECT trace_context FROM notification UNION ALL '
        'SELECT trace_context FROM channel_job) AS t',
    $$VALUES ('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01;vendor=1')$$,
    'the request''s context is on the notification and, through the trigger, on its four jobs');

-- What each channel's worker does, in a transaction of its own.
CREATE PROCEDURE send_next(for_channel text) LANGUAGE plpgsql AS $$
DECLARE
    job channel_job;
BEGIN
    SELECT * INTO job FROM channel_job WHERE channel = for_channel AND sent_at IS NULL
     ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED;
    PERFORM otel.start_span('send ' || for_channel,
        links => ARRAY[otel.span_link(job.trace_context, '{"link.type": "triggered_by"}')],
        kind => 'producer', root => true);
    UPDATE channel_job SET sent_at = clock_timestamp() WHERE id = job.id;
    PERFORM otel.end_span('ok');
END $$;
CALL send_next('email');
CALL send_next('sms');
CALL send_next('push');
CALL send_next('webhook');

SELECT results_eq('SELECT name FROM otel.span_queue ORDER BY start_time',
    $$VALUES ('send email'), ('send sms'), ('send push'), ('send webhook')$$, 'four spans');
SELECT is(count(DISTINCT otel.trace_id(context)), 4::bigint,
    'the four spans are in four traces') FROM otel.span_queue;
SELECT ok(bool_and(otel.trace_id(context) <> '0af7651916cd43dd8448eb211c80319c'),
    'none of them the request''s') FROM otel.span_queue;
SELECT ok(bool_and(parent_span_id IS NULL),
    'none of the four spans has a parent') FROM otel.span_queue;
SELECT results_eq(
    'SELECT DISTINCT l.* FROM otel.span_queue, otel.span_links(links) AS l',
    $$VALUES ('0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331', 1, 'vendor=1', true,
        '{"link.type": "triggered_by"}'::jsonb)$$,
    'all are linked to the request that triggered them');
SELECT is(sum(cardinality(links::otel.span_link[])), 4::bigint,
    'each is linked by one link') FROM otel.span_queue;
SELECT * FROM finish();
