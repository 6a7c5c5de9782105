-- A consumer takes messages from an inbox table in batches.  The batch has one span, linked to the
-- trace of every message, with the message's own attributes on its link.
\set QUIET on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS otel_links;
SET otel.traces_exporter = none;
SELECT plan(10);

-- The bridge from Kafka stores messages with their headers; the column is computed from these.
CREATE TABLE inbox (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic          text NOT NULL,
    partition      int NOT NULL,
    "offset"       bigint NOT NULL,
    payload        jsonb NOT NULL,
    headers        jsonb NOT NULL DEFAULT '{}',
    processed_at   timestamptz,
    trace_context  otel.trace_context GENERATED ALWAYS AS (otel.extract(headers)) STORED
);
CREATE TABLE orders (
    id             bigint PRIMARY KEY,
    trace_context  otel.trace_context DEFAULT otel.current_trace_context()
);

INSERT INTO inbox (topic, partition, "offset", payload, headers) VALUES
    ('orders', 0, 4711, '{"order": 1}',
        '{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}'),
    ('orders', 1, 17,   '{"order": 2}',
        '{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": '
        '"congo=t61"}'),
    ('orders', 1, 18,   '{"order": 3}', '{}'),
    ('orders', 0, 4712, '{"order": 4}',
        '{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}'),
    ('orders', 0, 4713, '{"order": 5}', '{"traceparent": "not a traceparent"}'),
    ('refunds', 0, 1,   '{"order": 1}',
        '{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}');

CREATE FUNCTION consume_orders(batch_size int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    links   otel.span_link[];
    claimed bigint[];
BEGIN
    WITH message AS (
        SELECT * FROM inbox WHERE topic = 'orders' AND processed_at IS NULL
         ORDER BY id LIMIT batch_size FOR UPDATE SKIP LOCKED)
    SELECT array_agg(id ORDER BY id),
           otel.link_agg(trace_context, jsonb_build_object(
               'messaging.message.id', id::text,
               'messaging.destination.partition.id', partition::text,
               'messaging.kafka.offset', "offset") ORDER BY id)
      INTO claimed, links FROM message;

    PERFORM otel.start_span('process orders', links, 'consumer', jsonb_build_object(
        'messaging.system', 'kafka',
        'messaging.operation.name', 'process',
        'messaging.operation.type', 'process',
        'messaging.destination.name', 'orders',
        'messaging.batch.message_count', cardinality(claimed)));
    INSERT INTO orders (id) SELECT (payload ->> 'order')::bigint FROM inbox
     WHERE id = ANY (claimed);
    UPDATE inbox SET processed_at = now() WHERE id = ANY (claimed);
    PERFORM otel.end_span('ok');
    RETURN cardinality(claimed);
END $$;

SELECT is(consume_orders(100), 5, 'the batch takes the five orders');

SELECT results_eq(
    'SELECT name, kind, status_code, parent_span_id IS NULL FROM otel.span_queue',
    $$VALUES ('process orders', 5::smallint, 1::smallint, true)$$,
    'one span for the batch: a consumer, ok, a trace of its own');
SELECT is(attributes, '{"messaging.system": "kafka", "messaging.operation.name": "process",
                        "messaging.operation.type": "process",
                            "messaging.destination.name": "orders",
                        "messaging.batch.message_count": 5}',
          'it says what it consumed, and how many') FROM otel.span_queue;
SELECT results_eq(
    'SELECT l.trace_id, l.span_id, l.trace_state, l.attributes FROM otel.span_queue, '
        'otel.span_links(links) AS l',
    $$VALUES
    ('0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331', NULL,
     '{"messaging.message.id": "1", "messaging.destination.partition.id": "0", '
         '"messaging.kafka.offset": 4711}'::jsonb),
    ('4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7', 'congo=t61',
     '{"messaging.message.id": "2", "messaging.destination.partition.id": "1", '
         '"messaging.kafka.offset": 17}'),
    ('0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331', NULL,
     '{"messaging.message.id": "4", "messaging.destination.partition.id": "0", '
         '"messaging.kafka.offset": 4712}')$$,
    'a link for each message that carries a context, also for two of one trace, in their order');
SELECT is(jsonb_typeof(l.attributes -> 'messaging.kafka.offset'), 'number',
    'the offset is a number')
  FROM otel.span_queue, otel.span_links(links, 1) AS l;
SELECT is(jsonb_typeof(l.attributes -> 'messaging.destination.partition.id'), 'string',
    'the partition is a string')
  FROM otel.span_queue, otel.span_links(links, 1) AS l;
SELECT is((SELECT count(*) FROM orders JOIN otel.span_queue AS q
              ON otel.trace_id(trace_context) = otel.trace_id(q.context)
             AND otel.span_id(trace_context) = otel.span_id(q.context)), 5::bigint,
          'the rows that the batch inserts belong to its span: whoever processes them links to it');
SELECT is((SELECT array_agg(topic) FROM inbox WHERE processed_at IS NULL), '{refunds}',
    'the other topic waits');

-- Without attributes, messages of one trace share a link.
SELECT is((SELECT otel.links_json(otel.link_agg(trace_context ORDER BY id)) FROM inbox
    WHERE topic = 'orders'),
    '[{"context": {"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", '
        '"traceFlags": 1, "isRemote": true}},
      {"context": {"traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b7",
          "traceFlags": 1,
                   "traceState": "congo=t61", "isRemote": true}}]',
    'links_json: what a consumer outside of the database takes');
SELECT results_eq(
    $$SELECT c.*
      FROM otel.span_contexts((SELECT array_agg(trace_context ORDER BY id) FROM inbox)) AS c$$,
    $$VALUES ('0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331', 1, NULL, true),
             ('4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7', 1, 'congo=t61', true)$$,
    'span_contexts: each context once');
SELECT * FROM finish();
