-- What the clients write: sent is the traceparent that the row's client sent along, NULL for none.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS otel_links;
DROP TABLE IF EXISTS pooled_jobs;
CREATE TABLE pooled_jobs (
    id    int PRIMARY KEY,
    how   text NOT NULL,
    sent  text,
    at    timestamptz DEFAULT now(), -- Pgpool-II's replication mode rewrites such an INSERT
    trace_context otel.trace_context DEFAULT otel.current_trace_context()
);
