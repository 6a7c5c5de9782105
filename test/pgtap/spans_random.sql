-- Random sequences of everything: whatever is committed, rolled back, ended, left open, ended late:
-- each span that was started and not discarded is queued exactly once.
\set QUIET on
SELECT format('ALTER DATABASE %I SET otel.traces_exporter = none', current_database()) \gexec
SELECT format('ALTER DATABASE %I SET client_min_messages = error', current_database()) \gexec
\c
SELECT plan(9);

-- One random step; what was started and what is still known of it is in the arrays, which no
-- rollback reaches.
CREATE SEQUENCE number;
CREATE FUNCTION step(depth int, INOUT started text[], INOUT contexts otel.trace_context[])
    LANGUAGE plpgsql AS $$
DECLARE
    r int := floor(random() * 14);
    i bigint := nextval('number');
    name text := format('span %s', i);
    pick int := 1 + floor(random() * cardinality(contexts));
BEGIN
    IF r < 3 THEN
        started := started || name;
        PERFORM otel.record_span(name, now(), status => 'ok',
            attributes => jsonb_build_object('i', i));
    ELSIF r < 6 THEN
        started := started || name;
        contexts := contexts
            || otel.start_span(name,
            scope => CASE WHEN random() < 0.3 THEN 'session' ELSE 'transaction' END);
    ELSIF r = 6 THEN
        PERFORM otel.end_span(CASE WHEN random() < 0.5 THEN 'error' ELSE 'ok' END, name);
    ELSIF r = 7 AND cardinality(contexts) > 0 THEN
        PERFORM otel.end_span('error', span => contexts[pick]);
    ELSIF r = 8 AND cardinality(contexts) > 0 THEN
        PERFORM otel.set_attributes(jsonb_build_object('n', i, 'text', repeat('x', i::int % 100)),
            contexts[pick]),
                otel.add_event(name, span => contexts[pick]);
    ELSIF r = 9 AND cardinality(contexts) > 0 THEN
        PERFORM otel.add_links(ARRAY[otel.span_link(contexts[pick])]);
    ELSIF r < 13 AND depth < 4 THEN
        -- a subtransaction of some steps, half of which fail
        DECLARE
            inner_started text[] := started;
            inner_contexts otel.trace_context[] := contexts;
        BEGIN
            FOR j IN 1 .. 4 LOOP
                SELECT s.started, s.contexts INTO inner_started, inner_contexts
                  FROM step(depth + 1, inner_started, inner_contexts) s;
            END LOOP;
            IF random() < 0.5 THEN PERFORM 1 / 0; END IF;
            started := inner_started;
            contexts := inner_contexts;
        EXCEPTION WHEN division_by_zero THEN
            started := inner_started;
            contexts := inner_contexts;
            IF random() < 0.5 THEN PERFORM otel.end_span('error', 'handled'); END IF;
        END;
    END IF;
END $$;

CREATE TABLE started (name text);
CREATE PROCEDURE walk(seed float8, steps int) LANGUAGE plpgsql AS $$
DECLARE
    started text[] := '{}';
    contexts otel.trace_context[] := '{}';
BEGIN
    PERFORM setseed(seed);
    FOR i IN 1 .. steps LOOP
        SELECT s.started, s.contexts INTO started, contexts FROM step(0, started, contexts) s;
        IF random() < 0.1 THEN COMMIT; ELSIF random() < 0.1 THEN ROLLBACK; END IF;
        contexts := contexts[greatest(1, cardinality(contexts) - 20):];
    END LOOP;
    COMMIT;
    INSERT INTO started SELECT unnest(started);
END $$;

CALL walk(0.1, 800);
RESET ALL;
SELECT is((SELECT count(*) FROM started) > 300, true, 'many spans');
SELECT is((SELECT count(*)
    FROM (SELECT name FROM started EXCEPT SELECT name FROM otel.span_queue) x), 0::bigint,
    'none is lost');
SELECT is((SELECT count(*) - count(DISTINCT context)
    FROM otel.span_queue) + (SELECT count(*) - (SELECT count(*) FROM started) FROM otel.span_queue),
    0::bigint, 'none comes twice');
TRUNCATE started, otel.span_queue;
CALL walk(0.2, 800);
RESET ALL;
SELECT is((SELECT count(*) FROM started) > 300, true, 'many spans');
SELECT is((SELECT count(*)
    FROM (SELECT name FROM started EXCEPT SELECT name FROM otel.span_queue) x), 0::bigint,
    'none is lost');
SELECT is((SELECT count(*) - count(DISTINCT context)
    FROM otel.span_queue) + (SELECT count(*) - (SELECT count(*) FROM started) FROM otel.span_queue),
    0::bigint, 'none comes twice');
TRUNCATE started, otel.span_queue;
CALL walk(0.3, 800);
RESET ALL;
SELECT is((SELECT count(*) FROM started) > 300, true, 'many spans');
SELECT is((SELECT count(*)
    FROM (SELECT name FROM started EXCEPT SELECT name FROM otel.span_queue) x), 0::bigint,
    'none is lost');
SELECT is((SELECT count(*) - count(DISTINCT context)
    FROM otel.span_queue) + (SELECT count(*) - (SELECT count(*) FROM started) FROM otel.span_queue),
    0::bigint, 'none comes twice');
SELECT * FROM finish();
