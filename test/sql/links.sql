-- Links: from pending rows to span contexts.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS otel_links;
RESET client_min_messages;
\pset null '(null)'

CREATE TABLE pending (
    id             int PRIMARY KEY,
    trace_context  otel.trace_context,
    attributes     jsonb
);
INSERT INTO pending VALUES
    (1, '00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-1111111111111111-00', NULL),
    (2, '00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-2222222222222222-01', '{"n": 1}'),
    (3, NULL,                                                      '{"n": 3}'),
    (4, '00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-2222222222222222-01', '{"n": 1.0}'),
    (5, '00-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-3333333333333333-03;congo=t61,rojo=00f',
        '{"n": 5, "a": ["x"]}'),
    (6, '00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-1111111111111111-00', NULL),
    (7, '00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-1111111111111111-00', '{}');

--
-- otel.link_agg
--
-- one link for each distinct context, in the order of the input, without NULLs
SELECT unnest(otel.link_agg(trace_context ORDER BY id)) FROM pending;
SELECT unnest(otel.link_agg(trace_context ORDER BY id DESC)) FROM pending;
-- with attributes: distinct pairs, attributes compared as jsonb compares them (1 = 1.0)
SELECT unnest(otel.link_agg(trace_context, attributes ORDER BY id)) FROM pending;
-- nothing to link to: NULL, like array_agg
SELECT otel.link_agg(trace_context) FROM pending WHERE id = 3;
SELECT otel.link_agg(trace_context) FROM pending WHERE false;
-- tracestate and flags distinguish contexts
SELECT cardinality(otel.link_agg(c)) FROM unnest(ARRAY[
    '00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-1111111111111111-00',
    '00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-1111111111111111-01',
    '00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-1111111111111111-01;a=1',
    '00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-1111111111111111-01;a=1']::otel.trace_context[]) AS c;
-- FILTER, GROUP BY, DISTINCT
SELECT cardinality(otel.link_agg(trace_context) FILTER (WHERE id < 5)) AS filtered,
       cardinality(otel.link_agg(DISTINCT trace_context)) AS "distinct"
  FROM pending;
SELECT otel.trace_id(trace_context) AS trace_id,
    cardinality(otel.link_agg(trace_context, attributes))
  FROM pending GROUP BY 1 ORDER BY 1;
-- as a window function: the state goes on after it was looked at
SELECT id, cardinality(otel.link_agg(trace_context, attributes) OVER (ORDER BY id)) AS so_far,
       cardinality(otel.link_agg(trace_context) OVER (ORDER BY id ROWS 1 PRECEDING)) AS last_two
  FROM pending ORDER BY id;
-- misuse says what it got
SELECT otel.link_agg(trace_context, '["x"]') FROM pending;
SELECT otel.link_agg(trace_context, '"x"') FROM pending;
SELECT otel.link_agg(trace_context, 'null') FROM pending;

--
-- otel.span_link
--
SELECT otel.span_link(trace_context), otel.span_link(trace_context, attributes) FROM pending
 WHERE id IN (2, 3) ORDER BY id;
SELECT (otel.span_link(trace_context, '{"link.type": "triggered_by"}')).* FROM pending WHERE id = 2;
SELECT otel.span_link('00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-1111111111111111-00', '7');
-- the aggregate builds what the constructor does
SELECT otel.link_agg(trace_context, attributes ORDER BY id)
    = array_agg(otel.span_link(trace_context, attributes) ORDER BY id) AS same
  FROM pending WHERE id IN (1, 2, 5);
-- and what it builds can be stored, copied as text and read back
CREATE TABLE batch (links otel.span_link[]);
INSERT INTO batch SELECT otel.link_agg(trace_context, attributes ORDER BY id) FROM pending;
SELECT links::text::otel.span_link[] = links AS same FROM batch;

-- arrays are merged: what is NULL is skipped, each link is there once, in the order of its first
-- appearance
SELECT otel.link_agg(links ORDER BY n) FROM (
    SELECT 1 AS n, links[2:3] AS links FROM batch UNION ALL SELECT 2, NULL UNION ALL SELECT 3, '{}'
    UNION ALL SELECT 4, ARRAY[links[1], NULL, ROW(NULL, '{}')::otel.span_link, links[3]] FROM batch)
        AS shard;
SELECT otel.link_agg(links) IS NULL AS none
  FROM (VALUES (NULL::otel.span_link[]), ('{}'), ('{NULL}')) AS v (links);
SELECT otel.link_agg(links) IS NULL AS none FROM batch WHERE false;
SELECT otel.link_agg(
    ARRAY[ROW('00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-1111111111111111-00', '[]')::otel.span_link]);

--
-- otel.span_links, otel.span_contexts, otel.links_json
--
SELECT * FROM otel.span_links((SELECT links FROM batch));
SELECT * FROM otel.span_contexts((SELECT array_agg(trace_context ORDER BY id) FROM pending));
SELECT jsonb_pretty(otel.links_json(links[2:3])) FROM batch;
-- span_links gives one row for each element; NULL elements and links without a context are skipped
SELECT count(*)
  FROM batch, otel.span_links(ARRAY[links[1], links[1], NULL, ROW(NULL, '{}')::otel.span_link]);
-- arrays of two dimensions and with other bounds
SELECT span_id
  FROM batch, otel.span_links(ARRAY[ARRAY[links[1], links[2]], ARRAY[links[3], links[4]]]);
SELECT span_id
  FROM otel.span_contexts('[5:6]={00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-1111111111111111-00,'
                          '00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-2222222222222222-01}');
-- NULL and empty arrays
SELECT * FROM otel.span_links(NULL);
SELECT * FROM otel.span_contexts(NULL);
SELECT * FROM otel.span_links('{}');
SELECT * FROM otel.span_contexts('{NULL}');
SELECT otel.links_json(NULL), otel.links_json('{}');
-- links that were not made by the aggregate are checked as they are read
SELECT * FROM otel.span_links(
    ARRAY[ROW('00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-1111111111111111-00', '[]')::otel.span_link]);
-- in a target list, and left before the end
SELECT (otel.span_links(links)).span_id FROM batch LIMIT 2;

--
-- the limit
--
-- Six rows of three traces.  First one link per trace, the sampled traces before the others, and
-- for each trace its first sampled link; then the rest; the links kept stay in their order.
CREATE TABLE crowded (id int, c otel.trace_context);
INSERT INTO crowded VALUES
    (1, '00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-0000000000000001-00'),
    (2, '00-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-0000000000000002-00'),
    (3, '00-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-0000000000000003-01'),
    (4, '00-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-0000000000000004-01'),
    (5, '00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-0000000000000005-00'),
    (6, '00-cccccccccccccccccccccccccccccccc-0000000000000006-01');
SELECT max_links, (SELECT string_agg(right(span_id, 1), '' ORDER BY ordinality)
                     FROM otel.span_links(links, max_links) WITH ORDINALITY) AS kept
  FROM (SELECT otel.link_agg(c ORDER BY id) AS links FROM crowded) AS l,
      generate_series(0, 7) AS max_links
 ORDER BY max_links;
-- span_contexts makes contexts distinct before it limits them, the others limit elements
SELECT (SELECT count(*) FROM otel.span_contexts(c || c, 10)) AS contexts,
       (SELECT count(*) FROM otel.span_links(l || l, 10)) AS links,
       jsonb_array_length(otel.links_json(l || l, 10)) AS json
  FROM (SELECT array_agg(c) AS c, otel.link_agg(c) AS l FROM crowded) AS x;
-- the setting is the default, max_links overrides it both ways
SET otel.span_link_count_limit = 3;
SELECT max_links, (SELECT count(*) FROM otel.span_links(links, max_links)) AS links,
       (SELECT count(*) FROM otel.span_contexts((SELECT array_agg(c) FROM crowded), max_links))
           AS contexts,
       jsonb_array_length(otel.links_json(links, max_links)) AS json
  FROM (SELECT otel.link_agg(c) AS links FROM crowded) AS l,
      (VALUES (NULL::int), (2), (100)) AS m (max_links);
SELECT count(*) FROM otel.span_links((SELECT otel.link_agg(c) FROM crowded));
-- link_agg never drops
SELECT cardinality(otel.link_agg(c)) FROM crowded;
RESET otel.span_link_count_limit;
SELECT count(*)
  FROM (SELECT otel.link_agg(otel.from_ids(lpad(to_hex(i), 32, '0'), lpad(to_hex(i), 16, '0'), 1))
    AS l
                        FROM generate_series(1, 1000) AS i) AS x, otel.span_links(l);
SELECT * FROM otel.span_links('{}', -1);

--
-- large tables: a parallel plan gives the same links
--
-- 20,000 contexts, each of them twice, a third of them with attributes the second time; and long
-- ones
CREATE TABLE many AS
SELECT i AS id,
    otel.from_ids(md5((i % 20000)::text), lpad(to_hex(i % 20000 + 1), 16, '0'), 1,
    'k=' || i % 20000) AS c,
       CASE WHEN i % 3 = 0 THEN jsonb_build_object('messaging.message.id', (i % 20000)::text) END
           AS a
  FROM generate_series(1, 40000) AS i;
INSERT INTO many
SELECT 40000 + i, otel.from_ids(md5('long'), '00000000000000ff', 1, 'k=' || repeat('v', 200)),
    jsonb_build_object('long', repeat('v', i % 3 * 4000))
  FROM generate_series(1, 30) AS i;
ANALYZE many;
SET max_parallel_workers_per_gather = 2;
SET min_parallel_table_scan_size = 0;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET parallel_leader_participation = off;
EXPLAIN (COSTS OFF) SELECT otel.link_agg(c, a) FROM many;
CREATE TEMP TABLE parallel_result AS SELECT otel.link_agg(c, a) AS l, otel.link_agg(c) AS l1
  FROM many;
SET max_parallel_workers_per_gather = 0;
CREATE TEMP TABLE serial_result AS SELECT otel.link_agg(c, a) AS l, otel.link_agg(c) AS l1
  FROM many;
SELECT cardinality(p.l), cardinality(p.l1),
       (SELECT array_agg(x ORDER BY x) FROM unnest(p.l) AS x)
           = (SELECT array_agg(x ORDER BY x) FROM unnest(s.l) AS x) AS same,
       (SELECT array_agg(x ORDER BY x) FROM unnest(p.l1) AS x)
           = (SELECT array_agg(x ORDER BY x) FROM unnest(s.l1) AS x) AS same
  FROM parallel_result AS p, serial_result AS s;
-- the links are those of array_agg(DISTINCT …)
SELECT (SELECT array_agg(x ORDER BY x) FROM unnest(s.l) AS x)
    = (SELECT array_agg(DISTINCT otel.span_link(c, a)) FROM many) AS same
  FROM serial_result AS s;
-- in the order of first appearance
SELECT (SELECT array_agg(context ORDER BY o)
    FROM unnest(s.l) WITH ORDINALITY AS u (context, attributes, o))
    = (SELECT array_agg(c ORDER BY first)
    FROM (SELECT c, min(id) AS first FROM many GROUP BY c) AS x) AS same
  FROM (SELECT otel.link_agg(c ORDER BY id) AS l FROM many) AS s;
-- a window looks at the links now and then, and goes on
SELECT DISTINCT id / 10000 AS window,
    cardinality(otel.link_agg(c) OVER (ORDER BY id / 10000)) AS contexts,
       cardinality(otel.link_agg(c, a) OVER (ORDER BY id / 10000)) AS pairs
  FROM many ORDER BY 1;
-- link_agg of arrays merges them as link_agg of the rows would have
SELECT cardinality(otel.link_agg(l)) AS merged,
    (SELECT cardinality(otel.link_agg(c, a)) FROM many) AS of_rows
  FROM (SELECT otel.link_agg(c, a) AS l FROM many GROUP BY id % 7) AS shard;
SELECT count(*)
  FROM (SELECT unnest(otel.link_agg(l))
    FROM (SELECT otel.link_agg(c, a) AS l FROM many GROUP BY id % 7) AS shard
                      EXCEPT SELECT otel.span_link(c, a) FROM many) AS foreign_links;
-- many small groups
SELECT count(*), sum(cardinality(l))
  FROM (SELECT otel.link_agg(c, a) AS l FROM many GROUP BY id % 3000) AS x;
RESET ALL;

-- estimates
SELECT oid::regprocedure, prorows, provolatile, proparallel FROM pg_proc
 WHERE pronamespace = 'otel'::regnamespace
     AND proname IN ('span_links', 'span_contexts', 'links_json', 'span_link', 'link_agg')
 ORDER BY oid::regprocedure::text COLLATE "C";

DROP TABLE pending, batch, crowded, many;
