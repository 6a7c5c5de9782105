-- Where a context may come from: otel.context_sources, application_name, ALTER TABLE, and the
-- reasons that otel.trace_context_sources() gives.  A context is shown as the last digit of its
-- trace id.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS otel_links;
RESET client_min_messages;
\set tp1 '00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01'
\set tp3 '00-4bf92f3577b34da6a3ce929d0e0e4733-00f067aa0ba902b7-01'
\set tp4 '00-4bf92f3577b34da6a3ce929d0e0e4734-00f067aa0ba902b7-01'
\set tp5 '00-4bf92f3577b34da6a3ce929d0e0e4735-00f067aa0ba902b7-01'
\set tp6 '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
\set tp7 '00-4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b7-01'
\set from_1 '/*traceparent=\'00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01\'*/'
\set from_2 '/*traceparent=\'00-4bf92f3577b34da6a3ce929d0e0e4732-00f067aa0ba902b7-01\'*/'
CREATE VIEW now AS
    SELECT coalesce(right(otel.trace_id(otel.current_trace_context()), 1), '-') AS context;
CREATE VIEW why AS
    SELECT source, right(otel.trace_id(context), 1) AS context, answers, reason
      FROM otel.trace_context_sources();

-- each source can be turned off alone
SELECT otel.current_trace_context() IS NULL AS library_is_loaded;
SHOW otel.context_sources;
SET otel.traceparent = :'tp3';
\set headers '{"traceparent": "' :tp4 '"}'
SET request.headers = :'headers';
\set tracing 'traceparent=\'' :tp5 '\''
SET pg_tracing.trace_context = :'tracing';
SET application_name = :'tp6';
TABLE why;
BEGIN;
SET LOCAL otel.traceparent = :'tp1';
TABLE now :from_2;
TABLE why :from_2;
SET LOCAL otel.context_sources = comment, session, postgrest, pg_tracing;
TABLE now :from_2;
COMMIT;
TABLE now;
SET otel.context_sources = transaction, session, postgrest, pg_tracing;
TABLE now :from_2;
SET otel.context_sources = transaction, comment, postgrest, pg_tracing;
TABLE now;
SET otel.context_sources = pg_tracing;
TABLE now;
SET otel.context_sources = '';
TABLE now :from_1;
BEGIN;
SELECT otel.start_span('job', root => true) AS span \gset
SELECT otel.current_trace_context() = :'span' AS an_open_span_always_counts;
SELECT source, context = :'span' AS is_the_span, answers, reason
  FROM otel.trace_context_sources() WHERE answers;
SELECT otel.end_span();
COMMIT;
RESET otel.context_sources;

-- what is no source is refused; the setting stays as it was
SET otel.context_sources = comment, nonsense;
SET otel.context_sources = 'comment,"';
SHOW otel.context_sources;
SET otel.context_sources = ' COMMENT , Session';
TABLE now :from_1;
RESET otel.context_sources;
SET otel.pooler_statement_names = 'a_%, b\';
SET otel.pooler_statement_names = 'a_%,"';

-- application_name, which is not in the default list: after comments, before the session's
SET otel.context_sources = transaction, comment, application_name, session;
TABLE now;
TABLE now :from_1;
\set name '_DD_' :tp7
SET application_name = :'name';
TABLE now;
\set name 'shop ' :tp7
SET application_name = :'name';
TABLE now;
SELECT * FROM why WHERE source = 'application_name';
SET application_name = '';
SELECT * FROM why WHERE source = 'application_name';
RESET otel.traceparent;
-- it is read again when it changes within a statement
SELECT i, right(otel.trace_id(otel.current_trace_context()), 1) AS context
  FROM generate_series(8, 9) i
 WHERE set_config('application_name', overlay(:'tp1' PLACING i::text FROM 35), false) <> '';
RESET application_name;
RESET otel.context_sources;
RESET request.headers;
RESET pg_tracing.trace_context;

-- why is it NULL?
SET application_name = 'shop';
TABLE why;
BEGIN;
SET LOCAL otel.traceparent = '';
SELECT * FROM why WHERE source IN ('transaction', 'session');
SET LOCAL otel.traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7';
SELECT * FROM why WHERE source = 'transaction';
ROLLBACK;
SET otel.traceparent = 'ff-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01';
SELECT * FROM why WHERE source = 'session';
RESET otel.traceparent;
SELECT * FROM why WHERE source = 'comment'
/*traceparent='00-00000000000000000000000000000000-00f067aa0ba902b7-01'*/;
SELECT * FROM why WHERE source = 'comment' :from_1 :from_2;
SELECT 1 AS one :from_1\; SELECT 2 AS two :from_2\; SELECT * FROM why WHERE source = 'comment';
\set headers '{"traceparent": "' :tp4 '", "Traceparent": ""}'
SET request.headers = :'headers';
SET pg_tracing.trace_context = 'no context';
SELECT * FROM why WHERE source IN ('postgrest', 'pg_tracing');
RESET request.headers;
RESET pg_tracing.trace_context;
SET otel.context_sources = transaction;
SELECT * FROM why WHERE source = 'comment' :from_1;
RESET otel.context_sources;
SET otel.propagators = none;
TABLE why :from_1;
RESET otel.propagators;
-- standard_conforming_strings set in the same transaction: is text after the backslash a comment?
BEGIN;
SET LOCAL standard_conforming_strings = on;
SELECT * FROM why WHERE source = 'comment' AND 'C:\' <>
' /*traceparent=00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01*/' :from_2;
SELECT * FROM why WHERE source = 'comment' AND 'C:' <>
' /*traceparent=00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01*/' :from_2;
COMMIT;

-- the actions of rules have no place in the message: with several contexts nobody can say which
CREATE TABLE ruled (n int);
CREATE TABLE reasons (source text, reason text);
INSERT INTO ruled VALUES (1);
CREATE RULE instead AS ON DELETE TO ruled DO INSTEAD
    INSERT INTO reasons SELECT source, reason FROM otel.trace_context_sources()
     WHERE source = 'comment';
DELETE FROM ruled :from_1\; DELETE FROM ruled :from_2;
SELECT DISTINCT reason FROM reasons;
DROP TABLE ruled, reasons;

-- ALTER TABLE is no insert of the client's: the rows that are there get NULL
CREATE TABLE old (id int);
INSERT INTO old VALUES (1), (2);
CREATE TABLE log (how text, trace_context otel.trace_context DEFAULT otel.current_trace_context());
ALTER TABLE old ADD COLUMN
    trace_context otel.trace_context DEFAULT otel.current_trace_context() :from_1;
INSERT INTO old VALUES (3) :from_2;
ALTER TABLE old ADD COLUMN rewritten otel.trace_context DEFAULT otel.current_trace_context(),
    ADD COLUMN volatile float DEFAULT random() :from_1;
ALTER TABLE old ADD COLUMN
    as_text text DEFAULT otel.traceparent(otel.current_trace_context()) :from_1;
BEGIN;
SET LOCAL otel.traceparent = :'tp3';
ALTER TABLE old ADD COLUMN
    in_transaction otel.trace_context DEFAULT otel.current_trace_context();
DO $$ BEGIN
    EXECUTE 'ALTER TABLE old ADD COLUMN
        in_do otel.trace_context DEFAULT otel.current_trace_context()';
END $$;
INSERT INTO old VALUES (4);
COMMIT;
CREATE FUNCTION not_inlined() RETURNS otel.trace_context LANGUAGE sql STABLE SECURITY DEFINER
    AS 'SELECT otel.current_trace_context()';
CREATE FUNCTION by_query() RETURNS otel.trace_context LANGUAGE plpgsql STABLE
    AS 'BEGIN RETURN (SELECT otel.current_trace_context() FROM pg_catalog.pg_am LIMIT 1); END';
ALTER TABLE old ADD COLUMN by_function otel.trace_context DEFAULT not_inlined(),
    ADD COLUMN by_query otel.trace_context DEFAULT by_query() :from_1;
INSERT INTO old (id) VALUES (5) :from_2;
SELECT id, right(otel.trace_id(trace_context), 1) AS context,
       right(otel.trace_id(rewritten), 1) AS rewritten,
       right(otel.trace_id(otel.from_traceparent(as_text)), 1) AS as_text,
       right(otel.trace_id(in_transaction), 1) AS in_transaction,
       right(otel.trace_id(in_do), 1) AS in_do,
       right(otel.trace_id(by_function), 1) AS by_function,
       right(otel.trace_id(by_query), 1) AS by_query
  FROM old ORDER BY id;
DELETE FROM old WHERE id = 5;
-- what a function or an event trigger inserts meanwhile is the client's
CREATE FUNCTION note_row(i int) RETURNS text LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO log (how) VALUES ('USING, row ' || i);
        BEGIN
            PERFORM 1 / 0;
        EXCEPTION WHEN division_by_zero THEN
        END;
        RETURN i::text;
    END $$;
ALTER TABLE old ALTER COLUMN id TYPE text USING note_row(id),
    ADD COLUMN after_function otel.trace_context DEFAULT otel.current_trace_context() :from_1;
SELECT count(after_function) FROM old;
CREATE FUNCTION note_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO log (how) VALUES (tg_event || ', ' || tg_tag); END $$;
CREATE EVENT TRIGGER note_start ON ddl_command_start WHEN TAG IN ('ALTER TABLE')
    EXECUTE FUNCTION note_ddl();
CREATE EVENT TRIGGER note_end ON ddl_command_end WHEN TAG IN ('ALTER TABLE')
    EXECUTE FUNCTION note_ddl();
CREATE EVENT TRIGGER note_rewrite ON table_rewrite EXECUTE FUNCTION note_ddl();
ALTER TABLE old ALTER COLUMN id TYPE int USING id::int :from_2;
DROP EVENT TRIGGER note_start;
DROP EVENT TRIGGER note_end;
DROP EVENT TRIGGER note_rewrite;
SELECT how, right(otel.trace_id(trace_context), 1) AS context FROM log;
-- an ALTER TABLE that fails leaves nothing behind
ALTER TABLE old ADD COLUMN id int :from_1;
INSERT INTO log (how) VALUES ('after a failed ALTER TABLE') :from_1;
DO $$ BEGIN
    ALTER TABLE old ALTER COLUMN id TYPE int USING (1 / (id - id));
EXCEPTION WHEN division_by_zero THEN
    INSERT INTO log (how) VALUES ('after a handled one');
END $$ :from_2;
SELECT how, right(otel.trace_id(trace_context), 1) AS context FROM log WHERE how ~ '^after';
-- partitions that are attached, and a default that comes with a domain
CREATE TABLE parts (id int, trace_context otel.trace_context DEFAULT otel.current_trace_context())
    PARTITION BY RANGE (id);
CREATE TABLE part (id int, trace_context otel.trace_context);
INSERT INTO part VALUES (1, NULL);
ALTER TABLE parts ATTACH PARTITION part FOR VALUES FROM (0) TO (10) :from_1;
ALTER TABLE parts ADD COLUMN
    second otel.trace_context DEFAULT otel.current_trace_context() :from_1;
INSERT INTO parts VALUES (2) :from_2;
SELECT id, right(otel.trace_id(trace_context), 1) AS context,
       right(otel.trace_id(second), 1) AS second
  FROM parts ORDER BY id;
CREATE DOMAIN traced AS otel.trace_context DEFAULT otel.current_trace_context();
ALTER TABLE parts DETACH PARTITION part;
ALTER TABLE part ADD COLUMN third traced :from_1;
SELECT count(*), count(third) FROM part;
-- a session whose first use of the library is the ALTER TABLE, as that of a migration
\c -
ALTER TABLE old ADD COLUMN
    fresh otel.trace_context DEFAULT otel.current_trace_context() :from_1;
INSERT INTO old (id) VALUES (5) :from_2;
COPY old (id) FROM stdin;
6
\.
ALTER TABLE old ADD COLUMN again text
    DEFAULT otel.traceparent(otel.current_trace_context()) :from_1;
INSERT INTO old (id) VALUES (7) :from_2;
SELECT id, right(otel.trace_id(fresh), 1) AS fresh,
       right(otel.trace_id(otel.from_traceparent(again)), 1) AS again
  FROM old WHERE id > 3 ORDER BY id;
\c -
BEGIN\; ALTER TABLE old ADD COLUMN
    in_message otel.trace_context DEFAULT otel.current_trace_context() :from_1\;
    INSERT INTO old (id) VALUES (8)\; COMMIT;
\c -
ALTER TABLE old ADD COLUMN failed otel.trace_context DEFAULT otel.current_trace_context(),
    ALTER COLUMN id TYPE int USING (1 / (id - id)) :from_1;
INSERT INTO old (id) VALUES (9) :from_2;
SELECT id, right(otel.trace_id(in_message), 1) AS in_message FROM old WHERE id > 6 ORDER BY id;
DROP VIEW now, why;
DROP TABLE old, log, parts, part;
DROP DOMAIN traced;
DROP FUNCTION note_row, note_ddl, not_inlined, by_query;
