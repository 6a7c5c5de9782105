-- CREATE EXTENSION where a schema "otel" is there already: an empty one of a superuser is taken
-- over, every other makes it fail and stays as it is.
\set QUIET on
SET client_min_messages = warning;
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
DROP EXTENSION IF EXISTS otel_links;
SELECT plan(18);

CREATE FUNCTION pg_temp.create_extension(OUT state text, OUT message text, OUT detail text,
    OUT hint text)
    LANGUAGE plpgsql AS $$
BEGIN
    CREATE EXTENSION otel_links;
EXCEPTION WHEN others THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
END $$;
CREATE FUNCTION pg_temp.is_member() RETURNS bool LANGUAGE sql AS $$
    SELECT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_namespace'::regclass AND deptype = 'e'
                      AND objid = (SELECT oid FROM pg_namespace WHERE nspname = 'otel')) $$;

-- as Rails' schema.rb does: all schemas, then the extensions
CREATE SCHEMA otel;
SELECT is(state, NULL, 'an empty schema of a superuser is no obstacle')
    FROM pg_temp.create_extension();
SELECT ok(pg_temp.is_member(), 'it is the extension''s now');
SELECT is(obj_description('otel'::regnamespace),
    'otel_links: trace contexts on rows, and span links made from them',
          'the schema taken over is the one that the script makes');
SELECT ok(has_schema_privilege('public', 'otel', 'USAGE'),
    'everybody may use the schema that was taken over');
SELECT lives_ok('DROP EXTENSION otel_links', 'DROP EXTENSION');
SELECT hasnt_schema('otel', 'takes the schema along');

-- privileges that somebody gave on it do not outlive it
CREATE ROLE regress_otel_user;
CREATE SCHEMA otel;
GRANT ALL ON SCHEMA otel TO regress_otel_user;
ALTER DEFAULT PRIVILEGES IN SCHEMA otel GRANT ALL ON TABLES TO regress_otel_user;
SELECT is(state, NULL, 'one with privileges is taken over too') FROM pg_temp.create_extension();
SELECT ok(NOT has_schema_privilege('regress_otel_user', 'otel', 'CREATE')
          AND NOT has_table_privilege('regress_otel_user', 'otel.span_queue', 'SELECT'),
          'privileges on the former schema do not reach the extension''s objects');
DROP EXTENSION otel_links;

-- one that is in use
CREATE SCHEMA otel;
CREATE TABLE otel.mine ();
SELECT is(e::text,
    '(42P06,"schema ""otel"" already exists","It is not empty, or belongs to another '
        'extension.","Rename or drop that schema: otel_links needs one of this name for itself.")',
          'one that is not empty is refused, and says so') FROM pg_temp.create_extension() e;
SELECT has_table('otel', 'mine', 'a schema that is refused keeps its table');
SELECT ok(NOT pg_temp.is_member(), 'nobody else''s');
DROP TABLE otel.mine;
CREATE FUNCTION otel.mine() RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT is(state, '42P06', 'a function is enough') FROM pg_temp.create_extension();
DROP SCHEMA otel CASCADE;

SELECT count(*) > 0 AS has_hstore FROM pg_available_extensions WHERE name = 'hstore' \gset
\if :has_hstore
CREATE EXTENSION hstore SCHEMA public;
CREATE SCHEMA otel;
ALTER EXTENSION hstore ADD SCHEMA otel;
SELECT is(state, '42P06', 'one that belongs to another extension is refused')
    FROM pg_temp.create_extension();
DROP EXTENSION hstore;
\else
SELECT skip('this server has no hstore', 1);
\endif

-- one that belongs to somebody else, who could drop it with all that is in it
CREATE SCHEMA otel AUTHORIZATION regress_otel_user;
SELECT is(e::text,
    '(42P06,"schema ""otel"" already exists","It belongs to role ""regress_otel_user"", which is '
        'not a superuser.","Rename or drop that schema: otel_links needs one of this name for '
        'itself.")',
          'one that an ordinary role owns is refused, and says so')
              FROM pg_temp.create_extension() e;
SELECT schema_owner_is('otel', 'regress_otel_user', 'a schema that is refused keeps its owner');
DROP SCHEMA otel;
SELECT is(state, NULL, 'without any it works') FROM pg_temp.create_extension();
SELECT ok(pg_temp.is_member(), 'without a schema otel, CREATE EXTENSION makes one');
SELECT throws_ok('DROP SCHEMA otel CASCADE', '2BP01', NULL,
    'nobody drops the schema without the extension');

SELECT * FROM finish();
ROLLBACK;
