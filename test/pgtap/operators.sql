-- The operators of otel.trace_context are found whatever the search_path is, as those of a built-in
-- type: in expressions that name them, and in SQL that looks "=" up by itself.
\set QUIET on
SET client_min_messages = warning;
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS otel_links;

\set c1 '00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01'
\set c2 '00-4bf92f3577b34da6a3ce929d0e0e4732-00f067aa0ba902b7-01'

CREATE TABLE public.jobs (id int PRIMARY KEY, context otel.trace_context);
CREATE TABLE public.batches (context otel.trace_context PRIMARY KEY, name text);
INSERT INTO public.jobs VALUES (1, :'c1'), (2, :'c2'), (3, NULL);
INSERT INTO public.batches VALUES (:'c1', 'first');

-- each gives one value, as text
CREATE TABLE public.cases (
    n int GENERATED ALWAYS AS IDENTITY, name text, query text, expected text
);
INSERT INTO public.cases (name, query, expected) VALUES
('= with a literal',
 $$ SELECT id FROM public.jobs WHERE context = '$1' $$, '1'),
('= with a parameter of unknown type, as drivers send it',
 $$ PREPARE p AS SELECT id FROM public.jobs WHERE context = $1 $$, NULL),
('which is of the type then',
 $$ SELECT parameter_types[1] FROM pg_catalog.pg_prepared_statements WHERE name = 'p' $$,
 'otel.trace_context'),
('<>', $$ SELECT id FROM public.jobs WHERE context <> '$1' $$, '2'),
('!=', $$ SELECT id FROM public.jobs WHERE context != '$1' $$, '2'),
('<', $$ SELECT id FROM public.jobs WHERE context < '$2' $$, '1'),
('<=', $$ SELECT count(*) FROM public.jobs WHERE context <= '$2' $$, '2'),
('>', $$ SELECT id FROM public.jobs WHERE context > '$1' $$, '2'),
('>=', $$ SELECT count(*) FROM public.jobs WHERE context >= '$1' $$, '2'),
('BETWEEN', $$ SELECT id FROM public.jobs WHERE context BETWEEN '$2' AND '$2' $$, '2'),
('IN (list)', $$ SELECT count(*) FROM public.jobs WHERE context IN ('$1', '$2') $$, '2'),
('NOT IN (list)', $$ SELECT id FROM public.jobs WHERE context NOT IN ('$1') $$, '2'),
('IN (SELECT)',
 $$ SELECT id FROM public.jobs WHERE context IN (SELECT context FROM public.batches) $$, '1'),
('NOT IN (SELECT)',
 $$ SELECT id FROM public.jobs WHERE context NOT IN (SELECT context FROM public.batches) $$, '2'),
('= ANY (array)',
 $$ SELECT count(*) FROM public.jobs WHERE context = ANY ('{$1,$2}'::otel.trace_context[]) $$, '2'),
('<> ALL (SELECT)',
 $$ SELECT id FROM public.jobs WHERE context <> ALL (SELECT context FROM public.batches) $$, '2'),
('JOIN ON', $$ SELECT id FROM public.jobs j JOIN public.batches b ON j.context = b.context $$, '1'),
('JOIN USING', $$ SELECT id FROM public.jobs JOIN public.batches USING (context) $$, '1'),
('NATURAL JOIN', $$ SELECT id FROM public.jobs NATURAL JOIN public.batches $$, '1'),
('FULL JOIN', $$ SELECT count(*) FROM public.jobs FULL JOIN public.batches USING (context) $$, '3'),
('NULLIF', $$ SELECT NULLIF(context, '$1') IS NULL FROM public.jobs WHERE id = 1 $$, 'true'),
('CASE', $$ SELECT CASE context WHEN '$1' THEN 'it' ELSE 'no' END FROM public.jobs WHERE id = 1 $$,
    'it'),
('IS DISTINCT FROM',
 $$ SELECT count(*) FROM public.jobs WHERE context IS DISTINCT FROM '$1' $$, '2'),
('IS NOT DISTINCT FROM',
 $$ SELECT id FROM public.jobs WHERE context IS NOT DISTINCT FROM '$1' $$, '1'),
('IS DISTINCT FROM of rows',
 $$ SELECT count(*) FROM public.jobs a, public.jobs b
     WHERE (a.id, a.context) IS NOT DISTINCT FROM (b.id, b.context) $$, '3'),
('IS DISTINCT FROM of whole rows',
 $$ SELECT count(*) FROM public.jobs a, public.jobs b WHERE a IS DISTINCT FROM b $$, '6'),
('= of whole rows', $$ SELECT count(*) FROM public.jobs a, public.jobs b WHERE a = b $$, '3'),
('= of row expressions',
 $$ SELECT id FROM public.jobs WHERE (id, context) = (1, '$1') $$, '1'),
('< of row expressions',
 $$ SELECT count(*) FROM public.jobs WHERE (context, id) < ('$2', 2) $$, '1'),
('rows IN (SELECT)',
 $$ SELECT id FROM public.jobs
     WHERE (context, 'first') IN (SELECT context, name FROM public.batches) $$, '1'),
('= of arrays', $$ SELECT ARRAY['$1'::otel.trace_context] = ARRAY['$1'::otel.trace_context] $$,
    'true'),
('ORDER BY', $$ SELECT id FROM public.jobs ORDER BY context LIMIT 1 $$, '1'),
('ORDER BY USING', $$ SELECT id FROM public.jobs WHERE id < 3 ORDER BY context USING > LIMIT 1 $$,
    '2'),
('GROUP BY', $$ SELECT count(*) FROM (SELECT 1 FROM public.jobs GROUP BY context) g $$, '3'),
('DISTINCT', $$ SELECT count(DISTINCT context) FROM public.jobs $$, '2'),
('UNION', $$ SELECT count(*) FROM (SELECT context FROM public.jobs UNION
                                   SELECT context FROM public.batches) u $$, '3'),
('a window frame',
 $$ SELECT count(*) OVER (PARTITION BY context) FROM public.jobs LIMIT 1 $$, '1'),
('MERGE',
 $$ MERGE INTO public.jobs USING public.batches b ON jobs.context = b.context
    WHEN MATCHED THEN UPDATE SET id = jobs.id $$, NULL),
('two literals of no type are compared as text', $$ SELECT pg_typeof(v) FROM (SELECT 'a' AS v) s
    WHERE 'b' = 'b' AND 'no context' <> 'a' AND 'a' < 'b' $$, 'text'),
('a parameter beside a literal is text',
 $$ DEALLOCATE p $$, NULL),
('as it is without the extension', $$ PREPARE p AS SELECT $1 = 'x' $$, NULL),
('which the catalog says', $$ SELECT parameter_types[1] FROM pg_catalog.pg_prepared_statements
    WHERE name = 'p' $$, 'text'),
('NULLIF of literals', $$ SELECT NULLIF('a', 'a') IS NULL $$, 'true'),
('an array''s ANY with a literal', $$ SELECT 'a' = ANY ('{a,b}') $$, 'true');
UPDATE public.cases
    SET query = replace(replace(query, '$1''', :'c1' || ''''), '$2''', :'c2' || '''');
UPDATE public.cases
    SET query = replace(replace(query, '{$1,$2}', '{' || :'c1' || ',' || :'c2' || '}'),
                                        '($1)', :'c1');

-- what a statement gives, under a search_path; an error as its SQLSTATE and message
CREATE FUNCTION public.result_under(path text, query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    PERFORM pg_catalog.set_config('search_path', path, true);
    BEGIN
        IF query ~ '^\s*SELECT' THEN
            EXECUTE query INTO result;
        ELSE
            EXECUTE query;
        END IF;
    EXCEPTION WHEN others THEN
        result := SQLSTATE || ': ' || SQLERRM;
    END;
    PERFORM pg_catalog.set_config('search_path', 'public', true);
    RETURN result;
END $$;

-- the way a function pins it
CREATE FUNCTION public.pinned_equal(a otel.trace_context, b otel.trace_context) RETURNS bool
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$ BEGIN RETURN a = b; END $$;
CREATE FUNCTION public.empty_equal(a otel.trace_context, b otel.trace_context) RETURNS bool
    LANGUAGE plpgsql SET search_path = '' AS $$ BEGIN RETURN a = b; END $$;

SELECT plan(3 * (SELECT count(*)::int FROM public.cases) + 25);

SELECT is(result_under('', query), expected, 'search_path empty: ' || name) FROM cases ORDER BY n;
DEALLOCATE p;
SELECT is(result_under('public', query), expected, 'search_path public: ' || name) FROM cases
    ORDER BY n;
DEALLOCATE p;
-- nothing of a schema that comes before pg_catalog is used by accident, as it would be for a
-- built-in type
CREATE SCHEMA first;
SELECT is(result_under('first, pg_catalog', query), expected, 'pg_catalog last: ' || name)
  FROM cases ORDER BY n;

SELECT ok(pinned_equal(:'c1', :'c1'),
    '= works in a function with search_path = pg_catalog, pg_temp');
SELECT ok(empty_equal(:'c1', :'c1'), '= works in a function with an empty search_path');

-- ---- what checks or uses equality in the background, with an empty search_path ----
CREATE FUNCTION public.run(statement text) RETURNS text LANGUAGE sql
    AS $$ SELECT left(public.result_under('', statement), 5) $$;
SELECT is(run($$ ALTER TABLE public.jobs ADD CONSTRAINT jobs_context UNIQUE (context) $$), NULL,
    'UNIQUE');
SELECT is(run($$ INSERT INTO public.jobs SELECT 4, context FROM public.jobs WHERE id = 1 $$),
          '23505', 'UNIQUE on a context is enforced');
SELECT is(run($$ INSERT INTO public.jobs SELECT 4, context FROM public.jobs WHERE id = 1
                 ON CONFLICT (context) DO NOTHING $$), NULL,
    'UNIQUE on a context is inferred by ON CONFLICT');
CREATE TABLE refs (context otel.trace_context REFERENCES jobs (context)
                   ON UPDATE CASCADE ON DELETE SET NULL);
SELECT is(run(format('INSERT INTO public.refs VALUES (%L)', :'c1')), NULL,
    'a foreign key that is met');
SELECT is(run($$ INSERT INTO public.refs VALUES
                 ('00-4bf92f3577b34da6a3ce929d0e0e4733-00f067aa0ba902b7-01') $$), '23503',
                     'one that is not');
SELECT is(run($$ UPDATE public.jobs
    SET context = '00-4bf92f3577b34da6a3ce929d0e0e4734-00f067aa0ba902b7-01'
                 WHERE id = 1 $$), NULL, 'ON UPDATE CASCADE');
SELECT is(right(otel.trace_id(context), 2), '34', 'changes the rows that refer to it') FROM refs;
SELECT is(run('DELETE FROM public.jobs WHERE id = 1'), NULL, 'ON DELETE SET NULL');
SELECT is(context::text, NULL, 'does so') FROM refs;

CREATE TABLE exclusive (context otel.trace_context);
INSERT INTO exclusive VALUES (:'c1');
SELECT is(run('ALTER TABLE public.exclusive ADD EXCLUDE USING btree (context WITH =)'), NULL,
    'EXCLUDE');
SELECT is(run(format('INSERT INTO public.exclusive VALUES (%L)', :'c1')), '23P01',
    'a btree exclusion constraint refuses an equal context');
CREATE TABLE exclusive_hash (context otel.trace_context);
INSERT INTO exclusive_hash VALUES (:'c1');
SELECT is(run('ALTER TABLE public.exclusive_hash ADD EXCLUDE USING hash (context WITH =)'), NULL,
    'EXCLUDE');
SELECT is(run(format('INSERT INTO public.exclusive_hash VALUES (%L)', :'c1')), '23P01',
    'a hash exclusion constraint refuses an equal context');

CREATE MATERIALIZED VIEW pending AS SELECT id, context FROM jobs;
CREATE UNIQUE INDEX pending_id ON pending (id);
CREATE UNIQUE INDEX pending_context ON pending (context);
UPDATE jobs SET context = :'c1' WHERE id = 3;
SELECT is(run('REFRESH MATERIALIZED VIEW CONCURRENTLY public.pending'), NULL,
          'REFRESH MATERIALIZED VIEW CONCURRENTLY');
SELECT is(context::text, :'c1', 'finds what changed') FROM pending WHERE id = 3;

-- a view is shown, and read back, as it is written
CREATE VIEW same AS
    SELECT j.id FROM jobs j WHERE j.context IN (SELECT context FROM batches)
       AND NULLIF(j.context, NULL) IS DISTINCT FROM NULL;
SELECT unalike(pg_get_viewdef('same'), '%OPERATOR(%', 'a view''s text names no schema for it');
SELECT lives_ok('CREATE VIEW again AS ' || pg_get_viewdef('same'),
    'a view is created again from its own text');
SELECT is(run($$ CREATE TABLE public.checked (context otel.trace_context
    CHECK (context <> '00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01'),
    is_second bool GENERATED ALWAYS AS
        (context = '00-4bf92f3577b34da6a3ce929d0e0e4732-00f067aa0ba902b7-01') STORED) $$), NULL,
    'CHECK constraints and generated columns');
SELECT is(run($$ CREATE STATISTICS public.job_statistics ON id, context FROM public.jobs $$), NULL,
          'extended statistics');
ANALYZE jobs;

-- ---- whose they are ----
SELECT is(count(*)::int, 6, 'all six are in pg_catalog, members of the extension')
  FROM pg_operator o JOIN pg_depend d ON d.classid = 'pg_operator'::regclass AND d.objid = o.oid
 WHERE oprleft = 'otel.trace_context'::regtype AND oprright = oprleft AND deptype = 'e'
   AND oprnamespace = 'pg_catalog'::regnamespace;
SELECT is(count(*)::int, 0, 'none takes anything but our type') FROM pg_operator
 WHERE 'otel.trace_context'::regtype IN (oprleft, oprright) AND oprleft <> oprright;
DROP TABLE jobs, batches, refs, exclusive, exclusive_hash, checked CASCADE;
DROP FUNCTION pinned_equal, empty_equal;
SELECT lives_ok('DROP EXTENSION otel_links', 'DROP EXTENSION');
SELECT is((SELECT count(*)::int FROM pg_operator WHERE oid >= 16384
    AND oprnamespace = 'pg_catalog'::regnamespace)
          + (SELECT count(*)::int FROM pg_namespace WHERE nspname = 'otel'), 0,
              'DROP EXTENSION leaves no operator and no schema');

SELECT * FROM finish();
ROLLBACK;
