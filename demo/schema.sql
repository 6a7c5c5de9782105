-- The tables of a service that makes reports: requests arrive one by one, and a scheduled job
-- processes all of them at once.  All they need for tracing is the default of one column.

CREATE EXTENSION otel_links;

CREATE TABLE report_requests (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id        bigint NOT NULL,
    status         text NOT NULL DEFAULT 'pending',
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    trace_context  otel.trace_context DEFAULT otel.current_trace_context()
);

-- A later job that processes reports can be linked to the job that made them, in the same way.
CREATE TABLE reports (
    request_id     bigint PRIMARY KEY REFERENCES report_requests,
    batch_id       uuid NOT NULL,
    body           text NOT NULL,
    trace_context  otel.trace_context DEFAULT otel.current_trace_context()
);

-- The service and the job are ordinary roles.
CREATE ROLE report_service LOGIN;
CREATE ROLE report_job LOGIN;
GRANT SELECT, INSERT ON report_requests TO report_service;
GRANT SELECT, UPDATE ON report_requests TO report_job;
GRANT SELECT, INSERT ON reports TO report_job;
