-- otel.trace_context in the catalogs and under the planner; what pg_regress cannot show the same on
-- every version.
\set QUIET on
SET client_min_messages = warning;
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS otel_links;
SET LOCAL search_path = public, otel;

CREATE FUNCTION pg_temp.plan_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE 'EXPLAIN (COSTS off) ' || query;
END $$;
-- is a node of this kind in the plan?
CREATE FUNCTION pg_temp.has_node(query text, node text, name text) RETURNS text LANGUAGE sql AS
    $$ SELECT matches(string_agg(line, E'\n'), node, name) FROM pg_temp.plan_of(query) line $$;
-- the message, DETAIL and SQLSTATE of a statement that fails
CREATE FUNCTION pg_temp.error_of(statement text, OUT state text, OUT message text, OUT detail text)
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
EXCEPTION WHEN others THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL;
END $$;

CREATE TABLE pg_temp.items AS
SELECT i,
    from_ids(md5(i::text), right(md5((-i)::text), 16), i % 4,
    CASE WHEN i % 3 = 0 THEN 'n=' || i END) AS context
  FROM generate_series(1, 2000) i;
CREATE INDEX items_btree ON pg_temp.items (context);
CREATE INDEX items_hash ON pg_temp.items USING hash (context);
ANALYZE pg_temp.items;

SELECT plan(32);

-- the stored form, which pg_upgrade relies on
SELECT is((typlen, typbyval, typalign, typstorage)::text, '(-1,f,i,m)',
    'varlena, aligned as int4, storage main')
  FROM pg_type WHERE oid = 'trace_context'::regtype;
SELECT is(encode(trace_context_send('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-a5;a=1'),
    'hex'),
          'a5' || '4bf92f3577b34da6a3ce929d0e0e4736' || '00f067aa0ba902b7' || encode('a=1', 'hex'),
          'the binary form: flags, trace id, span id, tracestate');
SELECT is(pg_column_size(context), 26, '26 bytes in a row') FROM pg_temp.items WHERE i = 1;
SELECT is(pg_column_size(context), 26 + length('n=3'),
    'a row holds the bytes of the tracestate besides')
    FROM pg_temp.items WHERE i = 3;

-- the catalogs
SELECT is(count(*), 0::bigint, 'every function of the type is immutable and parallel safe')
  FROM pg_proc WHERE pronamespace = 'otel'::regnamespace
      AND (provolatile, proparallel) <> ('i', 's')
   AND (proname LIKE 'trace_context%' AND proname <> 'trace_context_sources'
       OR proname IN ('trace_id', 'span_id', 'trace_flags', 'trace_state', 'is_sampled',
        'traceparent', 'from_traceparent', 'from_ids', 'extract', 'inject', 'jsonb'));
SELECT is(count(*), 9::bigint, 'what an index or a row security policy calls is leakproof')
  FROM pg_proc WHERE pronamespace = 'otel'::regnamespace AND proleakproof
   AND proname ~ '^trace_context_(lt|le|eq|ne|ge|gt|cmp|hash|hash_extended)$';
SELECT is(count(*), 6::bigint, 'every operator has commutator, negator and selectivity')
  FROM pg_operator WHERE oprleft = 'trace_context'::regtype
   AND oprcom <> 0 AND oprnegate <> 0 AND oprrest <> 0 AND oprjoin <> 0;
SELECT is((oprcanmerge, oprcanhash)::text, '(t,t)', '= can merge and hash')
  FROM pg_operator WHERE oprleft = 'trace_context'::regtype AND oprname = '=';
SELECT is(array_agg(format('%s %s', castsource::regtype, castcontext)
    ORDER BY castsource::regtype::text)::text,
          '{"character varying a","jsonb e","text a"}',
              'casts from text and varchar on assignment, from jsonb explicit')
  FROM pg_cast WHERE casttarget = 'trace_context'::regtype;
SELECT is(count(*), 0::bigint, 'every object of the type has a comment')
  FROM pg_depend d
 WHERE d.refclassid = 'pg_extension'::regclass
   AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'otel_links')
   AND (SELECT type IN ('function', 'operator', 'cast', 'operator class', 'operator family')
               AND identity LIKE '%trace_context%'
                   FROM pg_identify_object(d.classid, d.objid, d.objsubid))
   AND obj_description(d.objid, d.classid::regclass::name) IS NULL;

-- the planner uses it all
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SELECT pg_temp.has_node($$SELECT context FROM items
    WHERE context > '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'$$,
                        'Index Only Scan using items_btree', 'a range by index-only scan');
SELECT pg_temp.has_node('SELECT context FROM items ORDER BY context LIMIT 1',
    'Index Only Scan using items_btree', 'an order by index-only scan');
SELECT pg_temp.has_node($$SELECT i FROM items
    WHERE context
        = ANY (ARRAY['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01']::trace_context[])$$,
                        'Index Scan using items_', '= ANY by index');
DROP INDEX items_btree;
SELECT pg_temp.has_node($$SELECT i FROM items
    WHERE context = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'$$,
                        'Index Scan using items_hash', 'equality by hash index');
SELECT is((SELECT i FROM items
    WHERE context = (SELECT context::text FROM items WHERE i = 42)::trace_context), 42,
          'equality by hash index finds its row');
SET LOCAL enable_seqscan = on;
DROP INDEX items_hash;
SELECT pg_temp.has_node('SELECT a.i FROM items a JOIN items b USING (context)', 'Hash Join',
    'hash join');
SELECT is(count(*), 2000::bigint, 'hash join finds every row') FROM items a
    JOIN items b USING (context);
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_nestloop = off;
SELECT pg_temp.has_node('SELECT a.i FROM items a JOIN items b USING (context)', 'Merge Join',
    'merge join');
SELECT is(count(*), 2000::bigint, 'merge join finds every row') FROM items a
    JOIN items b USING (context);
SELECT pg_temp.has_node('SELECT DISTINCT context FROM items', 'HashAggregate', 'DISTINCT by hash');
SET LOCAL enable_hashagg = off;
SELECT pg_temp.has_node('SELECT DISTINCT context FROM items', 'Unique', 'DISTINCT by sort');
SELECT is(count(*), 2000::bigint, 'DISTINCT by sort finds every value')
    FROM (SELECT DISTINCT context FROM items) d;

-- a hash does not depend on how a value is stored
SELECT is(trace_context_hash(context), trace_context_hash((context::text)::trace_context),
          'the hash of a stored value (short header) is that of a new one') FROM items WHERE i = 3;
SELECT isnt(trace_context_hash_extended(context, 0), trace_context_hash_extended(context, 1),
    'the extended hash takes a seed')
  FROM items WHERE i = 1;
-- as hash partitioning demands of a type
SELECT is(trace_context_hash(context),
    (trace_context_hash_extended(context, 0) & 4294967295)::bit(32)::int,
          'the extended hash with seed 0 has the low 32 bits of the plain one') FROM items
              WHERE i = 1;

-- errors
SELECT is(state || ' ' || message, '22P02 invalid input syntax for type otel.trace_context: "nope"',
          'the message quotes a short value whole')
  FROM pg_temp.error_of($$SELECT 'nope'::otel.trace_context$$);
SELECT ok(length(message) < 200 AND length(detail) < 200, 'a value of 1 MB is not in the error')
  FROM pg_temp.error_of($$SELECT repeat('x', 1000000)::otel.trace_context$$);
SELECT CASE WHEN getdatabaseencoding() <> 'UTF8' THEN skip('the database is not in UTF-8')
            ELSE is(message,
                'invalid input syntax for type otel.trace_context: "x' || repeat(chr(8364),
                26) || '..."',
                    'a value is cut between characters') END
  FROM pg_temp.error_of($$SELECT ('x' || repeat(chr(8364), 1000))::otel.trace_context$$);
SELECT ok(state = '22P02' AND length(message) < 200,
    'a value in a carrier is cut in the message as well')
  FROM pg_temp.error_of($$SELECT jsonb_build_object('traceparent',
      repeat('x', 1000000))::otel.trace_context$$);

-- soft errors, where the server has them
SELECT current_setting('server_version_num')::int >= 160000 AS has_soft_errors \gset
\if :has_soft_errors
SELECT is(pg_input_is_valid('nope', 'otel.trace_context'), false,
    'an invalid value is a soft error');
SELECT is(pg_input_is_valid('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    'otel.trace_context'), true,
          'a valid value is none');
SELECT is((e.message, e.detail, e.sql_error_code)::text,
          '("invalid input syntax for type otel.trace_context: ""nope""",'
          '"A traceparent of version 00 has exactly 55 characters, one of a later version at least '
              '55.",22P02)',
          'a soft error says what a hard one says')
  FROM pg_input_error_info('nope', 'otel.trace_context') e;
\else
SELECT skip('soft errors came with PostgreSQL 16', 3);
\endif
SELECT * FROM finish();
ROLLBACK;
