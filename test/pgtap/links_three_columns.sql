-- A table that keeps trace_id, span_id and trace_flags in columns of their own, as applications
-- wrote before there was a type: linked as it is, and migrated.
\set QUIET on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS otel_links;
SELECT plan(6);

CREATE TABLE payment_job (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    amount       numeric NOT NULL,
    trace_id     text,
    span_id      text,
    trace_flags  smallint
);
INSERT INTO payment_job (amount, trace_id, span_id, trace_flags) VALUES
    (10, '0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331', 1),
    (20, '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7', 0),
    (30, NULL, NULL, NULL),
    (40, '00000000000000000000000000000000', '0000000000000000', 0),
    (50, '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7', NULL);

SELECT results_eq(
    'SELECT l.* FROM otel.span_links((SELECT otel.link_agg(otel.from_ids(trace_id, span_id, '
        'trace_flags) ORDER BY id) FROM payment_job)) AS l',
    $$VALUES ('0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331', 1, NULL, true, NULL::jsonb),
             ('4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7', 0, NULL, true, NULL)$$,
    'the three columns are enough to link from; no ids, and ids that are all zero, are no link');

-- The migration: the old columns stay for those who write them, until nobody does.
ALTER TABLE payment_job ADD COLUMN trace_context otel.trace_context;
UPDATE payment_job SET trace_context = otel.from_ids(trace_id, span_id, trace_flags)
    WHERE trace_id IS NOT NULL;
ALTER TABLE payment_job ALTER COLUMN trace_context SET DEFAULT otel.current_trace_context();

SELECT is(otel.links_json(otel.link_agg(trace_context ORDER BY id)),
          otel.links_json(otel.link_agg(otel.from_ids(trace_id, span_id, trace_flags) ORDER BY id)),
          'the new column links as the old ones did') FROM payment_job;
SELECT results_eq(
    'SELECT otel.trace_id(trace_context), otel.span_id(trace_context), '
        'otel.trace_flags(trace_context) FROM payment_job WHERE id < 3 ORDER BY id',
    'SELECT trace_id, span_id, trace_flags::int FROM payment_job WHERE id < 3 ORDER BY id',
    'nothing of the old columns is lost');
SELECT is((SELECT array_agg(id) FROM payment_job WHERE trace_context IS NULL), '{3,4}',
    'what was no context is NULL');
INSERT INTO payment_job (amount)
    VALUES (60) /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/;
SELECT is(trace_context::text, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    'new rows get their context without code')
  FROM payment_job WHERE amount = 60;

-- Or without a second copy: the context is computed where it is read.
CREATE VIEW payment AS SELECT id, amount,
    otel.from_ids(trace_id, span_id, trace_flags) AS trace_context FROM payment_job;
SELECT is((SELECT cardinality(otel.link_agg(trace_context)) FROM payment WHERE id <= 5), 2,
    'a view will do as well');
SELECT * FROM finish();
