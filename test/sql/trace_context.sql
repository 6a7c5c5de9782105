-- otel.trace_context: text form, errors, operators, indexes, casts, accessors, headers and
-- carriers. The clauses of the grammar one by one are in test/pgtap/w3c_*.sql.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS otel_links;
RESET client_min_messages;
SET search_path = otel, public;

-- the text form is the traceparent as received, then the normalised tracestate
SELECT '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'::trace_context;
SELECT '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff;rojo=1, ,congo= 2 '
    ',rojo=3'::trace_context;
SELECT e' \t00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 ; , '::trace_context;
SELECT '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01;ot=p:8;r:62'::trace_context;
SELECT 'cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff-later;a=1'::trace_context;

-- errors say which field is wrong
SELECT ''::trace_context;
SELECT '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x'::trace_context;
SELECT 'ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'::trace_context;
SELECT '00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01'::trace_context;
SELECT '00-0af7651916cd43dd8448eb211c80319c1b7ad6b7169203331-01'::trace_context;
SELECT '00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01'::trace_context;
SELECT '00-00000000000000000000000000000000-b7ad6b7169203331-01'::trace_context;
SELECT '00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333x-01'::trace_context;
SELECT '00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01'::trace_context;
SELECT '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0G'::trace_context;
SELECT '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01;Key=1'::trace_context;
SELECT '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01;key='::trace_context;
SELECT '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01;key'::trace_context;
SELECT ('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01;'
        || (SELECT string_agg('k' || i || '=1', ',') FROM generate_series(1, 33) i))::trace_context;
-- what is quoted is cut
SELECT repeat('x', 1000000)::trace_context;

-- accessors
SELECT trace_id(c), span_id(c), trace_flags(c), trace_state(c), is_sampled(c), traceparent(c)
  FROM (VALUES ('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff;a=1,b=2'::trace_context),
               ('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02'),
               (NULL)) v(c);

-- the order is trace id, span id, flags, tracestate; a prefix comes first
CREATE TABLE ordered (position int, c trace_context);
INSERT INTO ordered VALUES
    (5, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01;a=10'),
    (7, '00-0af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-00'),
    (1, '00-0af7651916cd43dd8448eb211c80319c-a7ad6b7169203331-03'),
    (4, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01;a=1'),
    (2, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00;z=1'),
    (8, 'ee-fff7651916cd43dd8448eb211c80319c-0000000000000001-00'),
    (6, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01;a=2'),
    (3, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'),
    (9, NULL);
SELECT position, c FROM ordered ORDER BY c;
-- every operator agrees with it
SELECT count(*) AS pairs,
       count(*) FILTER (WHERE (a.c <  b.c) <> (a.position <  b.position)
                           OR (a.c <= b.c) <> (a.position <= b.position)
                           OR (a.c =  b.c) <> (a.position =  b.position)
                           OR (a.c <> b.c) <> (a.position <> b.position)
                           OR (a.c >= b.c) <> (a.position >= b.position)
                           OR (a.c >  b.c) <> (a.position >  b.position)
                           OR sign(trace_context_cmp(a.c, b.c)) <> sign(a.position - b.position))
                               AS disagree
  FROM ordered a, ordered b
 WHERE a.c IS NOT NULL AND b.c IS NOT NULL;
SELECT amname, opcname, opcdefault, amvalidate(o.oid)
  FROM pg_opclass o JOIN pg_am a ON a.oid = opcmethod
 WHERE opcintype = 'trace_context'::regtype ORDER BY 1;

-- sorting with abbreviated keys that tell rows apart, and with ones that do not (given up)
CREATE TABLE many (i int, c trace_context);
INSERT INTO many
SELECT i, from_ids(md5(i::text), right(md5((-i)::text), 16), i % 256,
    CASE WHEN i % 10 = 0 THEN 'n=' || i END)
  FROM generate_series(1, 20000) i;
INSERT INTO many
SELECT i, from_ids('0af7651916cd43dd8448eb211c80319c', right(md5(i::text), 16), i % 256)
  FROM generate_series(20001, 40000) i;
SELECT count(*), count(*) FILTER (WHERE NOT previous < c) AS out_of_order
  FROM (SELECT c, lag(c) OVER (ORDER BY c) AS previous FROM many) s WHERE previous IS NOT NULL;
SELECT count(*), count(*) FILTER (WHERE NOT previous < c) AS out_of_order
  FROM (SELECT c, lag(c) OVER (ORDER BY c) AS previous FROM many WHERE i > 20000) s
   WHERE previous IS NOT NULL;

-- distinct, hash and merge join, hash aggregate, indexes
SELECT count(*), count(DISTINCT c) FROM (SELECT c FROM many UNION ALL SELECT c FROM many) s;
SELECT count(*) FROM (SELECT c FROM many UNION SELECT c FROM many) s;
SET enable_mergejoin = off;
SET enable_nestloop = off;
SELECT count(*) FROM many a JOIN many b USING (c);
RESET enable_mergejoin;
SET enable_hashjoin = off;
SELECT count(*) FROM many a JOIN many b USING (c);
RESET enable_hashjoin;
RESET enable_nestloop;
CREATE UNIQUE INDEX many_btree ON many (c);
SET enable_seqscan = off;
SELECT i FROM many WHERE c = from_ids(md5('4711'), right(md5('-4711'), 16), 4711 % 256);
SELECT count(*) FROM many WHERE c BETWEEN '00-0af7651916cd43dd8448eb211c80319c-0000000000000001-00'
                                      AND '00-0af7651916cd43dd8448eb211c80319c-ffffffffffffffff-ff';
INSERT INTO many SELECT 0, c FROM many WHERE i = 4711;
DROP INDEX many_btree;
CREATE INDEX many_hash ON many USING hash (c);
SELECT i FROM many WHERE c = from_ids(md5('4711'), right(md5('-4711'), 16), 4711 % 256);
RESET enable_seqscan;

-- hash partitions
CREATE TABLE parted (c trace_context) PARTITION BY HASH (c);
CREATE TABLE parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO parted SELECT c FROM many;
SELECT (SELECT count(*) FROM parted_0) > 15000 AND (SELECT count(*) FROM parted_1) > 15000
    AS balanced,
       count(*) FROM parted;
SELECT count(*) FROM parted JOIN many USING (c);

-- a row takes 26 bytes; the longest tracestate is stored and read back
SELECT pg_column_size(c) FROM many WHERE i = 1;
CREATE TABLE long_state (c trace_context);
INSERT INTO long_state
SELECT from_traceparent('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', string_agg(
           rpad('k' || i, 256, 'abcdefghijklmnopqrstuvwxyz') || '='
               || rpad(i::text, 256, md5(i::text)), ','))
  FROM generate_series(1, 32) i;
SELECT length(trace_state(c)), c = c::text::trace_context AS text_again,
       c = extract_again AS carrier_again, trace_id(c)
  FROM (SELECT c, otel.extract(inject(c)) AS extract_again FROM long_state) s;
ALTER TABLE long_state ALTER c SET STORAGE external;
INSERT INTO long_state SELECT (c::text)::trace_context FROM long_state;
SELECT count(*), count(DISTINCT c), min(length(c::text)) FROM long_state;

-- arrays, rows, defaults, COPY
SELECT ARRAY['00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01;a=1,b=2',
    NULL]::trace_context[];
SELECT '{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01;a=1,b=2",NULL}'::trace_context[]
    @> ARRAY['00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01;a=1,b=2']::trace_context[];
SELECT ROW('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01;a="b",c=d'::trace_context);
COPY ordered FROM stdin;
10	00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01;a=\\
\.
COPY ordered FROM stdin (FORMAT csv);
11,"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01;a=""x"",b=2"
12,
\.
COPY ordered FROM stdin;
13	00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331
\.
COPY (SELECT * FROM ordered WHERE position > 9 ORDER BY position) TO stdout;
COPY (SELECT * FROM ordered WHERE position > 9 ORDER BY position) TO stdout (FORMAT csv);

-- strings are assigned to a column of the type
INSERT INTO ordered VALUES (20, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'::text);
INSERT INTO ordered VALUES (21, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'::varchar);
INSERT INTO ordered VALUES (22, 'no traceparent'::text);
SELECT position, c FROM ordered WHERE position >= 20 ORDER BY position;

-- the carrier, strictly: casts
SELECT c::jsonb
  FROM (VALUES ('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff;a="\'::trace_context),
    (NULL)) v(c);
SELECT '{"Traceparent": ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"], "TRACESTATE": '
    '["a=1", "", "b=2"]}'::jsonb::trace_context;
SELECT '[]'::jsonb::trace_context;
SELECT '"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"'::jsonb::trace_context;
SELECT '{"tracestate": "a=1"}'::jsonb::trace_context;
SELECT '{"traceparent": 1}'::jsonb::trace_context;
SELECT '{"traceparent": "x", "Traceparent": "y"}'::jsonb::trace_context;
SELECT '{"traceparent": '
    '"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"}'::jsonb::trace_context;
SELECT '{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": '
    '"a"}'::jsonb::trace_context;
SELECT '{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": '
    '[1]}'::jsonb::trace_context;
SELECT '{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": '
    '"a=1", "Tracestate": "b=1"}'::jsonb::trace_context;

-- inject() never makes headers NULL
SELECT '{"x": 1}'::jsonb || inject(NULL) AS no_context,
       '{"x": 1}'::jsonb || inject('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-05;a=1')
           AS with_context;

DROP TABLE ordered, many, parted, long_state;
