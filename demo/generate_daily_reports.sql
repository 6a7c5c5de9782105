-- The scheduled job: takes every pending request and makes the reports.  Its trace has a span for
-- the run and, in it, a span for the batch, which has a link to the trace of every request.  Each
-- request's trace gets a span for the time that the request waited, with a link to the batch.

CREATE FUNCTION generate_daily_reports() RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    requests   bigint[];
    links      otel.span_link[];
    oldest     timestamptz;
    batch      uuid := gen_random_uuid();
    generated  bigint;
BEGIN
    PERFORM otel.start_span('generate-daily-reports', root => true,
        attributes => '{"job.type": "scheduled", "job.schedule": "0 6 * * *"}');

    WITH pending AS (
        SELECT id FROM report_requests WHERE status = 'pending' ORDER BY id FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE report_requests SET status = 'processing' FROM pending
        WHERE report_requests.id = pending.id
        RETURNING report_requests.*
    )
    SELECT array_agg(id ORDER BY id), min(created_at),
           otel.link_agg(trace_context, jsonb_build_object(
               'report.request_id', id,
               'report.user_id', user_id,
               'report.requested_at', created_at,
               'link.type', 'triggered_by') ORDER BY id)
    INTO requests, oldest, links
    FROM claimed;

    PERFORM otel.start_span('process-report-batch', links => links, kind => 'consumer',
        attributes => jsonb_build_object('batch.size', cardinality(requests), 'batch.id', batch,
            'batch.oldest_wait', round(extract(epoch FROM clock_timestamp() - oldest), 3)));
    PERFORM otel.record_wait(trace_context, created_at,
        attributes => jsonb_build_object('report.request_id', id))
    FROM report_requests WHERE id = ANY (requests) ORDER BY id;

    INSERT INTO reports (request_id, batch_id, body)
    SELECT id, batch, format('report for user %s', user_id)
    FROM report_requests WHERE id = ANY (requests);
    GET DIAGNOSTICS generated = ROW_COUNT;
    UPDATE report_requests SET status = 'done' WHERE id = ANY (requests);

    PERFORM otel.set_attributes(jsonb_build_object('reports.generated', generated));
    PERFORM otel.end_span('ok');    -- process-report-batch
    PERFORM otel.end_span('ok');    -- generate-daily-reports
    RETURN generated;
END
$$;
