-- The cost of a span for the session that records it, beside an INSERT of the same row.
--
--     scripts/bench spans
--     scripts/cluster -c otel.traces_exporter=none psql -X -v rounds=9 -f bench/spans.sql
--
-- A span is otel.start_span(), otel.end_span() and its share of the commit, which writes the row.
-- "INSERT" is done by a plpgsql procedure into a table like otel.span_queue, which has no index;
-- the row comes from a span and is in a variable, so nothing is computed.  "narrow" is an INSERT of
-- a bigint and a text, of the same width, into a table with a primary key.  Each is measured with
-- many in one transaction, and with one in each transaction, whose COMMIT does not wait for the
-- disk.  They take turns, and the best round counts, so that other processes disturb all alike.
--
-- Goals: without links, at most 2 times the INSERT; with 128 links and their attributes, at most
-- 300 µs.
\set QUIET on
\if :{?rounds}
\else
    \set rounds 7
\endif
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS otel_links;
SET synchronous_commit = off;
SET otel.traces_exporter = none;
SET jit = off;

CREATE TABLE twin (LIKE otel.span_queue INCLUDING ALL);
CREATE TABLE narrow (id bigint PRIMARY KEY, payload text);
-- the row that is compared is compressed already
ALTER TABLE narrow ALTER payload SET STORAGE external;
CREATE TABLE result (links int, how text, best_span float8 DEFAULT 'infinity',
                     best_insert float8 DEFAULT 'infinity',
                     best_narrow float8 DEFAULT 'infinity', row_bytes int);

CREATE FUNCTION make_links(n int) RETURNS otel.span_link[] LANGUAGE sql AS $$
    SELECT otel.link_agg(otel.from_ids(md5(i::text), left(md5((-i)::text), 16), 1),
                         jsonb_build_object('messaging.message.id', i, 'tenant', 't' || i % 7))
      FROM generate_series(1, n) i
$$;

-- n spans, a COMMIT after each or after all
CREATE PROCEDURE record_spans(n int, links otel.span_link[], commit_each bool)
LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. n LOOP
        PERFORM otel.start_span('process batch', links, 'consumer',
                                '{"messaging.batch.message_count": 128}');
        PERFORM otel.end_span('ok');
        IF commit_each THEN COMMIT; END IF;
    END LOOP;
END $$;

CREATE PROCEDURE insert_rows(n int, r otel.span_queue, commit_each bool) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. n LOOP
        INSERT INTO twin VALUES (r.*);
        IF commit_each THEN COMMIT; END IF;
    END LOOP;
END $$;

CREATE PROCEDURE insert_narrow(n int, payload text, commit_each bool) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. n LOOP
        INSERT INTO narrow VALUES (i, payload);
        IF commit_each THEN COMMIT; END IF;
    END LOOP;
END $$;

CREATE PROCEDURE race(nlinks int, n int, rounds int) LANGUAGE plpgsql AS $$
DECLARE
    links otel.span_link[] := make_links(nlinks);
    r     otel.span_queue;
    began timestamptz;
    spans float8;
    inserts float8;
    bytes int;
BEGIN
    INSERT INTO result (links, how) VALUES
        (nlinks, 'many in a transaction'), (nlinks, 'a transaction each');
    FOR turn IN 1 .. rounds LOOP
        FOR each IN 0 .. 1 LOOP
            TRUNCATE otel.span_queue, twin, narrow;
            COMMIT;
            began := clock_timestamp();
            CALL record_spans(n, links, each = 1);
            COMMIT;
            spans := extract(epoch FROM clock_timestamp() - began) * 1e6 / n;
            SELECT * INTO r FROM otel.span_queue LIMIT 1;
            COMMIT;
            began := clock_timestamp();
            CALL insert_rows(n, r, each = 1);
            COMMIT;
            inserts := extract(epoch FROM clock_timestamp() - began) * 1e6 / n;
            bytes := (SELECT pg_column_size(t.*) FROM twin t LIMIT 1);
            COMMIT;
            began := clock_timestamp();
            CALL insert_narrow(n, repeat('x', bytes - 36), each = 1);
            COMMIT;
            UPDATE result SET best_span = least(best_span, spans),
                              best_insert = least(best_insert, inserts),
                              best_narrow = least(best_narrow, extract(epoch FROM
                                  clock_timestamp() - began) * 1e6 / n),
                              row_bytes = bytes
             WHERE result.links = nlinks
               AND how = CASE each WHEN 1 THEN 'a transaction each'
                         ELSE 'many in a transaction' END;
            COMMIT;
        END LOOP;
    END LOOP;
END $$;

CALL race(0, 10000, :rounds);
CALL race(10, 5000, :rounds);
CALL race(128, 1000, :rounds);

SELECT links, how, row_bytes AS "bytes", round(best_span::numeric, 1) AS "span, µs",
       round(best_insert::numeric, 1) AS "INSERT, µs",
       round((best_span / best_insert)::numeric, 2) AS "times",
       round(best_narrow::numeric, 1) AS "narrow, µs",
       round((best_span / best_narrow)::numeric, 2) AS "times"
  FROM result ORDER BY links, how;

DROP TABLE twin, narrow, result CASCADE;
DROP PROCEDURE race, record_spans, insert_rows, insert_narrow;
DROP FUNCTION make_links;
