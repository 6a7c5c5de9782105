-- The grammar of tracestate, W3C Trace Context Level 2, section 3.3, clause by clause.
-- Each case goes through both families: otel.from_traceparent() (lenient) and the cast (strict).
\set QUIET on
SET client_min_messages = warning;
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS otel_links;

-- The tracestate that the cast makes of a header: '' when there is none, else SQLSTATE and DETAIL.
CREATE FUNCTION pg_temp.strict(value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    RETURN coalesce(otel.trace_state(
        ('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01;' || value)::otel.trace_context),
            '');
EXCEPTION WHEN data_exception THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || detail;
END $$;

-- A list of members k1=v, k2=v, ...
CREATE FUNCTION pg_temp.members(n int) RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg('k' || i || '=v', ',') FROM generate_series(1, n) i $$;

CREATE TEMPORARY TABLE cases (n int GENERATED ALWAYS AS IDENTITY, clause text, value text,
    accepted text, detail text);

-- accepted: value, and the normalised list ('' when it has no member)
INSERT INTO cases (clause, value, accepted) VALUES
('3.3.1.1 an empty header', '', ''),
('3.3.1.1 only white space', e' \t ', ''),
('3.3.1.1 white space around members', e' \ta=1 \t,\t b=2 ', 'a=1,b=2'),
('3.3.1.2 list: one member', 'rojo=00f067aa0ba902b7', 'rojo=00f067aa0ba902b7'),
('3.3.1.2 list: two members, in order', 'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE',
    'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE'),
('3.3.1.2 list-member: empty ones', ',a=1,,b=2,', 'a=1,b=2'),
('3.3.1.2 list-member: white space only', e'a=1, \t ,b=2', 'a=1,b=2'),
('3.3.1.2 list: 32 members', pg_temp.members(32), pg_temp.members(32)),
('3.3.1.2 list: empty members do not count', replace(pg_temp.members(32), ',', ', ,,'),
    pg_temp.members(32)),
('3.3.1.3.1 key: one character', 'a=1', 'a=1'),
('3.3.1.3.1 key: begins with a digit', '0a=1', '0a=1'),
('3.3.1.3.1 key: only digits', '007=1', '007=1'),
('3.3.1.3.1 key: every character there is', 'abcdefghijklmnopqrstuvwxyz0123456789_-*/@=1',
    'abcdefghijklmnopqrstuvwxyz0123456789_-*/@=1'),
('3.3.1.3.1 key: tenant@system', 'fw529a3039@dt=1', 'fw529a3039@dt=1'),
('3.3.1.3.1 key: more than one @', 'a@b@c=1', 'a@b@c=1'),
('3.3.1.3.1 key: 256 characters', repeat('k', 256) || '=1', repeat('k', 256) || '=1'),
('3.3.1.3.2 value: one character', 'a=1', 'a=1'),
('3.3.1.3.2 value: every character there is',
    (SELECT 'a=' || string_agg(chr(i), '' ORDER BY i) FROM generate_series(32, 126) i
        WHERE chr(i) NOT IN (',', '=')),
    (SELECT 'a=' || string_agg(chr(i), '' ORDER BY i) FROM generate_series(32, 126) i
        WHERE chr(i) NOT IN (',', '='))),
('3.3.1.3.2 value: leading spaces belong to it', 'a=  1', 'a=  1'),
('3.3.1.3.2 value: spaces within', 'a=1  2', 'a=1  2'),
('3.3.1.3.2 value: trailing spaces do not belong to it', 'a=1  ,b=2 ', 'a=1,b=2'),
('3.3.1.3.2 value: 256 characters', 'a=' || repeat('v', 256), 'a=' || repeat('v', 256)),
('3.3.1.3.2 value: 256 characters, leading spaces among them', 'a=' || lpad('v', 256),
    'a=' || lpad('v', 256)),
('3.3.1.3.2 value: trailing spaces do not count', 'a=' || repeat('v', 256) || repeat(' ', 300),
    'a=' || repeat('v', 256)),
('3.3.1.4 of duplicate keys the first, in its place', 'congo=1,rojo=2,congo=3,rojo=4',
    'congo=1,rojo=2'),
('3.3.1.4 keys that only begin alike are no duplicates', 'ab=1,a=2,abc=3', 'ab=1,a=2,abc=3'),
('3.3.1.4 32 members, duplicates among them', pg_temp.members(31) || ',k1=again',
    pg_temp.members(31)),
('3.3.1.5 the longest list there can be is kept whole',
    (SELECT string_agg(rpad('k' || i || '-', 256, 'x') || '=' || repeat('v', 256), ',')
        FROM generate_series(1, 32) i),
    (SELECT string_agg(rpad('k' || i || '-', 256, 'x') || '=' || repeat('v', 256), ',')
        FROM generate_series(1, 32) i));

-- rejected: value, and the DETAIL the cast gives
INSERT INTO cases (clause, value, detail)
SELECT clause, value, CASE field
    WHEN 'members' THEN 'A tracestate must have at most 32 members.'
    WHEN 'equals' THEN 'A tracestate member must be a key and a value with "=" between them.'
    WHEN 'key'
        THEN 'A tracestate key must begin with a lower-case letter or a digit and have at most 256 '
            'characters, which are lower-case letters, digits, "_", "-", "*", "/" and "@".'
    WHEN 'value'
        THEN 'A tracestate value must have 1 to 256 characters, which are printable ASCII other '
            'than "," and "=".'
    END
FROM (VALUES
('3.3.1.1 other white space', e'a=1,\nb=2', 'key'),
('3.3.1.2 list: 33 members', pg_temp.members(33), 'members'),
('3.3.1.2 list: 33 members, counted before duplicates go', pg_temp.members(32) || ',k1=again',
    'members'),
('3.3.1.2 list: another separator', 'a=1;b=2', 'value'),
('3.3.1.3 list-member: no "="', 'a', 'equals'),
('3.3.1.3 list-member: no "=" in the middle', 'a=1,b,c=3', 'equals'),
('3.3.1.3 list-member: one bad member spoils the list', 'a=1,B=2', 'key'),
('3.3.1.3 list-member: a duplicate is held to the grammar too', 'a=1,a=', 'value'),
('3.3.1.3.1 key: empty', '=1', 'key'),
('3.3.1.3.1 key: upper case', 'FOO=1', 'key'),
('3.3.1.3.1 key: upper case within', 'fOO=1', 'key'),
('3.3.1.3.1 key: begins with another character', '_a=1', 'key'),
('3.3.1.3.1 key: begins with @', '@a=1', 'key'),
('3.3.1.3.1 key: a dot', 'foo.bar=1', 'key'),
('3.3.1.3.1 key: a colon', 'foo:bar=1', 'key'),
('3.3.1.3.1 key: a space before "="', 'foo =1', 'key'),
('3.3.1.3.1 key: a tab before "="', e'foo\t=1', 'key'),
('3.3.1.3.1 key: beyond ASCII', 'f' || chr(127) || '=1', 'key'),
('3.3.1.3.1 key: 257 characters', repeat('k', 257) || '=1', 'key'),
('3.3.1.3.2 value: empty', 'a=', 'value'),
('3.3.1.3.2 value: empty before a comma', 'a=,b=2', 'value'),
('3.3.1.3.2 value: only spaces', 'a=   ', 'value'),
('3.3.1.3.2 value: "="', 'a=1=2', 'value'),
('3.3.1.3.2 value: "=" first', 'a==', 'value'),
('3.3.1.3.2 value: a tab before it', e'a=\t1', 'value'),
('3.3.1.3.2 value: a tab within', e'a=1\t2', 'value'),
('3.3.1.3.2 value: a newline', e'a=1\n2', 'value'),
('3.3.1.3.2 value: a control character', e'a=1\x01', 'value'),
('3.3.1.3.2 value: DEL', e'a=1\x7f', 'value'),
('3.3.1.3.2 value: 257 characters', 'a=' || repeat('v', 257), 'value'),
('3.3.1.3.2 value: 257 characters, leading spaces among them', 'a=' || lpad('v', 257), 'value')
) v(clause, value, field);

SELECT plan(2 * count(*)::int + 4) FROM cases;
-- a list that is refused, and one without members, are no tracestate; the traceparent stays
SELECT is(otel.from_traceparent('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    value)::text,
          '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
              || coalesce(';' || nullif(accepted, ''), ''),
          clause || CASE WHEN accepted IS NULL THEN ': from_traceparent() drops it'
              ELSE ': from_traceparent() reads it' END)
  FROM cases ORDER BY n;
SELECT is(pg_temp.strict(value), coalesce(accepted, '22P02 ' || detail),
          clause || CASE WHEN accepted IS NULL THEN ': the cast raises' ELSE ': the cast reads it'
              END)
  FROM cases ORDER BY n;
SELECT is(count(*), 0::bigint, 'every case expects something') FROM cases
    WHERE (accepted IS NULL) = (detail IS NULL);
SELECT is(otel.trace_state(
    otel.from_traceparent('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    'ot=p:8;r:62')),
          'ot=p:8;r:62', '3.3.1.3.2 value: a semicolon belongs to it, in a header');
SELECT is(otel.trace_state('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01;ot=p:8;r:62'),
          'ot=p:8;r:62', '3.3.1.3.2 value: a semicolon belongs to it, in the text form');
SELECT is(otel.from_traceparent('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7',
    'a=1')::text, NULL,
          '3.3 an invalid traceparent takes its tracestate along');
SELECT * FROM finish();
ROLLBACK;
