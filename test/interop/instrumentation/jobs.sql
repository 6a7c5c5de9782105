-- Each row says how it was inserted; what that recorded is compared with the span of the same
-- statement.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS otel_links;
DROP TABLE IF EXISTS instrumented_jobs;
CREATE TABLE instrumented_jobs (
    id   int GENERATED ALWAYS AS IDENTITY,
    how  text NOT NULL,
    trace_context otel.trace_context DEFAULT otel.current_trace_context()
);
