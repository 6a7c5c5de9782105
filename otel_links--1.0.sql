/* otel_links--1.0.sql: grouped as docs/reference.md is. */

\echo Use "CREATE EXTENSION otel_links" to load this file. \quit

-- The script makes the schema itself: where a user already owns one of that name, it fails cleanly.
CREATE SCHEMA otel;
COMMENT ON SCHEMA otel IS 'otel_links: trace contexts on rows and the span links made of them';
GRANT USAGE ON SCHEMA otel TO PUBLIC;

----------------------------------------------------------------------------------------------------
-- The type
----------------------------------------------------------------------------------------------------

----------------------------------------------------------------------------------------------------
-- Headers and carriers
----------------------------------------------------------------------------------------------------

----------------------------------------------------------------------------------------------------
-- Capture
----------------------------------------------------------------------------------------------------

----------------------------------------------------------------------------------------------------
-- Links
----------------------------------------------------------------------------------------------------

CREATE TYPE otel.span_link AS (
    context     otel.trace_context,
    attributes  pg_catalog.jsonb
);
COMMENT ON TYPE otel.span_link IS 'a span link: the context it points to, and attributes (a JSON object or NULL)';

----------------------------------------------------------------------------------------------------
-- Spans
----------------------------------------------------------------------------------------------------

CREATE TYPE otel.span_event AS (
    "time"                    pg_catalog.timestamptz,
    name                      pg_catalog.text,
    attributes                pg_catalog.jsonb,
    dropped_attributes_count  pg_catalog.int4
);
COMMENT ON TYPE otel.span_event IS 'an event of a span in the queue: when, its name, attributes (a JSON object or NULL) and how many more there were';

----------------------------------------------------------------------------------------------------
-- The queue
----------------------------------------------------------------------------------------------------

-- No index on purpose: backends append with heap_insert, the exporter reads by TID (src/queue.c).
-- Columns of fixed width come first, so that reading them needs no walk over the others.
CREATE TABLE otel.span_queue (
    origin_system                   pg_catalog.int8         NOT NULL,
    start_time                      pg_catalog.timestamptz  NOT NULL,
    end_time                        pg_catalog.timestamptz  NOT NULL,
    origin_database                 pg_catalog.oid          NOT NULL,
    dropped_attributes_count        pg_catalog.int4         NOT NULL,
    dropped_events_count            pg_catalog.int4         NOT NULL,
    dropped_links_count             pg_catalog.int4         NOT NULL,
    kind                            pg_catalog.int2         NOT NULL,
    status_code                     pg_catalog.int2         NOT NULL,
    trace_flags                     pg_catalog.int2         NOT NULL,
    parent_is_remote                pg_catalog.bool         NOT NULL,
    trace_id                        pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
    span_id                         pg_catalog.text COLLATE pg_catalog."C" NOT NULL,
    parent_span_id                  pg_catalog.text COLLATE pg_catalog."C",
    name                            pg_catalog.text         NOT NULL,
    trace_state                     pg_catalog.text,
    status_message                  pg_catalog.text,
    attributes                      pg_catalog.jsonb,
    events                          otel.span_event[],
    links                           otel.span_link[],
    link_dropped_attributes_counts  pg_catalog.int4[],
    local_links                     pg_catalog.int4[]
);
ALTER TABLE otel.span_queue REPLICA IDENTITY NOTHING;
REVOKE ALL ON otel.span_queue FROM PUBLIC;
COMMENT ON TABLE otel.span_queue IS 'finished spans that wait for the exporter, one column per field of the OTLP Span message';
COMMENT ON COLUMN otel.span_queue.origin_system IS 'the system identifier of the server that recorded the span';
COMMENT ON COLUMN otel.span_queue.origin_database IS 'the oid of the database in which the span was recorded; rows that came with a copied database are not exported again';
COMMENT ON COLUMN otel.span_queue.kind IS 'SpanKind: 1 internal, 2 server, 3 client, 4 producer, 5 consumer';
COMMENT ON COLUMN otel.span_queue.status_code IS 'StatusCode: 0 unset, 1 ok, 2 error';
COMMENT ON COLUMN otel.span_queue.trace_flags IS 'the W3C trace flags of the span itself (8 bits)';
COMMENT ON COLUMN otel.span_queue.parent_is_remote IS 'did the parent context come from another process?';
COMMENT ON COLUMN otel.span_queue.link_dropped_attributes_counts IS 'dropped_attributes_count of each link, in the order of links; NULL when all are 0';
COMMENT ON COLUMN otel.span_queue.local_links IS 'positions, from 1, of the links whose context is a span of the recording session itself (not remote); NULL when there is none';

-- Long values of the links repeat much: lz4 where the server has it.
DO $$
BEGIN
    ALTER TABLE otel.span_queue
        ALTER COLUMN attributes SET COMPRESSION lz4,
        ALTER COLUMN events SET COMPRESSION lz4,
        ALTER COLUMN links SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END
$$;

----------------------------------------------------------------------------------------------------
-- Export
----------------------------------------------------------------------------------------------------
