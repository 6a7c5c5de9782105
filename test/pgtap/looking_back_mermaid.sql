-- otel.mermaid(): the flowchart of a span and the links around it.  That Mermaid itself draws it is
-- in interop/mermaid.
\set QUIET on
SELECT format('ALTER DATABASE %I SET otel.traces_exporter = none', current_database()) \gexec
\c
SET client_min_messages = error;
\set ON_ERROR_STOP off
SELECT plan(34);

CREATE FUNCTION context(n int) RETURNS otel.trace_context LANGUAGE sql IMMUTABLE
    RETURN otel.from_ids(md5('trace ' || n), left(md5('span ' || n), 16), 1);
CREATE FUNCTION links(n int) RETURNS otel.span_link[] LANGUAGE sql STABLE
    RETURN (SELECT otel.link_agg(context(i) ORDER BY i) FROM generate_series(1, n) i);
-- its arrows, with the labels of the nodes in place of their ids
CREATE FUNCTION arrows(chart text) RETURNS SETOF text LANGUAGE sql IMMUTABLE AS $$
    SELECT f.label || ' ' || e.m[2] || ' ' || coalesce(t.label, e.m[4])
      FROM regexp_matches(chart, '^    (n\d+) (-->|-\.->) (\w+)(?:\(\["(.*)"\]\))?$', 'gn') e (m)
      JOIN (SELECT m[1] AS id,
          m[2] AS label
          FROM regexp_matches(chart, '^        (n\d+)\["(.*)"\]$', 'gn') m) f ON f.id = e.m[1]
      LEFT JOIN (SELECT m[1] AS id,
          m[2] AS label
          FROM regexp_matches(chart, '^        (n\d+)\["(.*)"\]$', 'gn') m) t ON t.id = e.m[3]
$$;
CREATE FUNCTION edges(chart text) RETURNS bigint LANGUAGE sql IMMUTABLE
    RETURN (SELECT count(*) FROM regexp_matches(chart, ' (-->|-\.->) ', 'g'));

-- a batch of two items
BEGIN;
SELECT otel.start_span('nightly', root => true) AS nightly \gset
SELECT otel.start_span('batch', links(2)) AS batch \gset
SELECT otel.record_wait(context(1), '2026-01-02 03:04:05Z') \g /dev/null
SELECT otel.end_span(), otel.end_span() \g /dev/null
COMMIT;
SELECT otel.mermaid(:'batch') AS chart \gset
SELECT is(split_part(:'chart', E'\n', 1), 'flowchart LR', 'mermaid draws a flowchart');
SELECT bag_eq(format('SELECT arrows(%L)', :'chart'),
    ARRAY['nightly --> batch', format('batch -.-> span %s', otel.span_id(context(1))),
        format('batch -.-> span %s', otel.span_id(context(2))),
          'wait batch -.-> batch', format('span %s --> wait batch', otel.span_id(context(1)))],
    'solid arrows lead from parent to child, dotted ones from the span that has the link to the '
        'linked one');
SELECT is(count(*), 3::bigint, 'each trace is a box')
    FROM regexp_matches(:'chart'::text, '^    subgraph t\d+\["trace [0-9a-f]{32}"\]$', 'gn');
SELECT matches(:'chart'::text,
    format('\["trace %s"\]\n        n\d+\["nightly"\]\n        n\d+\["batch"\]\n    end',
    otel.trace_id(:'batch')), 'the box of a trace has its spans in order');
SELECT matches(:'chart'::text, '    class n2 focus$', 'the span that was asked for is marked');
SELECT unalike(:'chart'::text, '%failed n%', 'no other is');
SELECT bag_eq(format('SELECT arrows(otel.mermaid(%L))', context(1)),
    ARRAY[format('span %s --> wait batch', otel.span_id(context(1))), 'wait batch -.-> batch',
        format('batch -.-> span %s', otel.span_id(context(1))), 'batch -.-> 1 more link'],
    'from the item''s side: the wait, and the batch that took it');
SELECT is(array_agg(a), NULL, 'a trace of which nothing is known has no arrows')
    FROM arrows(otel.mermaid(context(50))) a;
SELECT matches(otel.mermaid(context(50)), format('\["span %s"\]', otel.span_id(context(50))),
    'a trace of which nothing is known is drawn with the span asked for');
SELECT is(otel.mermaid(NULL), NULL, 'NULL for NULL');
SELECT throws_ok(format('SELECT otel.mermaid(%L, -1)', :'batch'), '22023',
    'max_links must not be negative', 'max_links is not negative');
SELECT bag_eq(format('SELECT arrows(otel.mermaid(%L, 0))', :'batch'),
    ARRAY['nightly --> batch', 'batch -.-> 2 more links'], 'without links they are counted');
SELECT matches(otel.mermaid(:'batch', 0), 'not drawn: 1 more that link to it',
    'with max_links 0, the spans that link to it are counted');
SELECT is(otel.mermaid(:'batch', NULL), :'chart', 'max_links NULL is the default');
TRUNCATE otel.span_queue;

-- a failure, and links between two spans of one trace
BEGIN;
SELECT otel.start_span('first', root => true) AS first \gset
SELECT otel.end_span('error');
SELECT otel.start_span('retry',
    ARRAY[otel.span_link(:'first'), otel.span_link(:'first', '{"again": true}')],
    parent => :'first') IS NOT NULL \g /dev/null
SELECT otel.end_span() \g /dev/null
COMMIT;
SELECT bag_eq(format('SELECT arrows(otel.mermaid(%L))', :'first'),
    ARRAY['first --> retry', 'retry -.-> first', 'retry -.-> 1 more link'],
    'links inside a trace are drawn; two to one span are one arrow');
SELECT matches(otel.mermaid(:'first'), '    class n1 failed$', 'a span that failed is marked');
TRUNCATE otel.span_queue;

-- names are text, whatever is in them
CREATE TABLE names (name text, label text);
INSERT INTO names VALUES
    ('plain name_1-2/3', 'plain name_1-2/3'), ('"]; click n1 "x', '#34;#93;#59; click n1 #34;x'),
        ('`**bold**`', '#96;#42;#42;bold#42;#42;#96;'),
    ('<script>', '#60;script#62;'), ('%% a; b # c', '#37;#37; a#59; b #35; c'),
        (E'two\nlines\ttab', 'two lines tab'), ('größe 日本', 'größe 日本'),
    (repeat('x', 41), repeat('x', 37) || '#46;#46;#46;'), ('1. list', '1#46; list'), ('end', 'end');
CREATE TABLE recorded AS SELECT label,
    otel.record_span(name, now(), root => true) AS context FROM names;
SELECT is(substring(otel.mermaid(context) FROM 'n1\["(.*)"\]'), label,
    format('a name is escaped and cut to 40 characters: %s', label)) FROM recorded;
TRUNCATE otel.span_queue;

-- bounds
SET otel.span_link_count_limit = 100000;
SELECT otel.record_span('large', now(), root => true, links => links(10000)) AS large \gset
SELECT is(edges(otel.mermaid(:'large')), 11::bigint,
    'of 10,000 links 10 are drawn, and one arrow to the rest');
SELECT matches(otel.mermaid(:'large'), '\["9990 more links"\]',
    'the rest of the links is counted in words');
SELECT ok(edges(otel.mermaid(:'large', 1000000)) BETWEEN 300 AND 400,
    'asked for all there are still at most 400 arrows');
SELECT ok(length(otel.mermaid(:'large', 1000000)) < 50000,
    'a large chart has fewer characters than the 50,000 that Mermaid takes');
SELECT matches(otel.mermaid(:'large', 1000000), '\["9[67]\d\d more links"\]',
    'the rest is counted');
INSERT INTO otel.exported_spans SELECT q.*, now() FROM otel.span_queue q;
TRUNCATE otel.span_queue;
SET otel.span_link_count_limit = 128;
-- a batch of 128 items with waits, in a trace of 300 spans, with names that are escaped to six
-- times their length
BEGIN;
SELECT otel.start_span('run', root => true) AS run \gset
SELECT otel.start_span(repeat('"', 50), links(128)) AS batch \gset
SELECT otel.record_wait(context(i), now()) FROM generate_series(1, 128) i \g /dev/null
SELECT otel.record_span(repeat('#', 50), now()) FROM generate_series(1, 300) i \g /dev/null
SELECT otel.end_span(), otel.end_span() \g /dev/null
COMMIT;
SELECT ok(length(otel.mermaid(:'batch', 128)) < 50000 AND edges(otel.mermaid(:'batch', 128)) <= 400,
    'a batch of 128 items with its waits stays in the bounds');
SELECT ok(edges(otel.mermaid(:'batch', 128)) > 50,
    'a batch of 128 items is drawn with more than 50 arrows');
TRUNCATE otel.span_queue;
BEGIN;
SELECT otel.start_span('process report batch', links(128), root => true) AS batch \gset
SELECT otel.record_wait(context(i), now()) FROM generate_series(1, 100) i \g /dev/null
SELECT otel.end_span() \g /dev/null
COMMIT;
SELECT is(edges(otel.mermaid(:'batch', 128)), 328::bigint,
    'with usual names, 128 links and 100 waits are drawn whole');
SELECT * FROM finish();
