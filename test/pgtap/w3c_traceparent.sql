-- The grammar of traceparent, W3C Trace Context Level 2, section 3.2, clause by clause.
-- Each case goes through both families: otel.from_traceparent() (lenient) and the cast (strict).
\set QUIET on
SET client_min_messages = warning;
BEGIN;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS otel_links;

-- What the cast makes of a value: its text form, or SQLSTATE and DETAIL.
CREATE FUNCTION pg_temp.strict(value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    RETURN value::otel.trace_context;
EXCEPTION WHEN data_exception THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || detail;
END $$;

CREATE TEMPORARY TABLE cases (n int GENERATED ALWAYS AS IDENTITY, clause text, value text,
    accepted text, detail text);

-- accepted: value, and what it is read as
INSERT INTO cases (clause, value, accepted) VALUES
('3.2.2 value: version "-" version-format',
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
        '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'),
('3.2.2 HEXDIGLC: every lower-case digit',
    '00-0123456789abcdef0123456789abcdef-0123456789abcdef-00',
        '00-0123456789abcdef0123456789abcdef-0123456789abcdef-00'),
('3.2.2.1 version 00', '00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-00',
    '00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-00'),
('3.2.2.3 trace-id: only the first bit is set',
    '00-80000000000000000000000000000000-00f067aa0ba902b7-01',
        '00-80000000000000000000000000000000-00f067aa0ba902b7-01'),
('3.2.2.3 trace-id: only the last bit is set',
    '00-00000000000000000000000000000001-00f067aa0ba902b7-01',
        '00-00000000000000000000000000000001-00f067aa0ba902b7-01'),
('3.2.2.4 parent-id: only the last bit is set',
    '00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000001-01',
        '00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000001-01'),
('3.2.2.5 trace-flags: none', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00',
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00'),
('3.2.2.5.1 sampled flag', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'),
('3.2.2.5.2 random trace-id flag', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02',
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02'),
('3.2.2.5.3 other flags of version 00 are kept as received',
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff',
        '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff'),
('3.2.4 a higher version of 55 characters is read as 00',
    '01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
        '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'),
('3.2.4 the highest version is fe',
    'fe-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
        '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'),
('3.2.4 a higher version goes on after a dash',
    'cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-will-be-like',
        '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'),
('3.2.4 a higher version may end with the dash',
    'cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-',
        '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'),
('3.2.4 of a higher version only the sampled and random flags are known',
    '01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff',
        '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03'),
('RFC 9110 5.5: spaces before a header''s value',
    '  00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'),
('RFC 9110 5.5: tabs and spaces after a header''s value',
    e'00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\t ',
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01');

-- rejected: value, and the DETAIL the cast gives
INSERT INTO cases (clause, value, detail)
SELECT clause, value, CASE field
    WHEN 'length'
        THEN 'A traceparent of version 00 has exactly 55 characters, one of a later version at '
            'least 55.'
    WHEN 'version' THEN 'The version must be two lower-case hexadecimal digits other than "ff".'
    WHEN 'delimiter'
        THEN 'The fields of a traceparent must have their full length and be separated by "-".'
    WHEN 'trace-id' THEN 'The trace-id must be 32 lower-case hexadecimal digits.'
    WHEN 'trace-id zero' THEN 'The trace-id must not be all zeros.'
    WHEN 'parent-id' THEN 'The parent-id (span id) must be 16 lower-case hexadecimal digits.'
    WHEN 'parent-id zero' THEN 'The parent-id (span id) must not be all zeros.'
    WHEN 'flags' THEN 'The trace-flags must be two lower-case hexadecimal digits.'
    END
FROM (VALUES
('3.2.2 value: empty', '', 'length'),
('3.2.2 value: only white space', e' \t ', 'length'),
('3.2.2 value: a field is missing', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7',
    'length'),
('3.2.2 value: two values in one header',
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01,'
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', 'length'),
('3.2.2 "-": after the version', '00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    'delimiter'),
('3.2.2 "-": after the trace-id', '00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01',
    'delimiter'),
('3.2.2 "-": after the parent-id', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01',
    'delimiter'),
('3.2.2.1 version ff is forbidden', 'ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    'version'),
('3.2.2.1 version: upper case', 'CC-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    'version'),
('3.2.2.1 version: no digit first', '.0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    'version'),
('3.2.2.1 version: no digit second', '0.-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    'version'),
('3.2.2.1 version: one digit', '0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', 'length'),
('3.2.2.1 version: three digits', '000-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    'delimiter'),
('3.2.2.2 version-format 00: nothing may follow',
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.', 'length'),
('3.2.2.2 version-format 00: not even after a dash',
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-', 'length'),
('3.2.2.3 trace-id: all zero', '00-00000000000000000000000000000000-00f067aa0ba902b7-01',
    'trace-id zero'),
('3.2.2.3 trace-id: upper case', '00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01',
    'trace-id'),
('3.2.2.3 trace-id: no digit first', '00-.bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    'trace-id'),
('3.2.2.3 trace-id: no digit last', '00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01',
    'trace-id'),
('3.2.2.3 trace-id: too long', '00-4bf92f3577b34da6a3ce929d0e0e47361-00f067aa0ba902b7-01',
    'delimiter'),
('3.2.2.3 trace-id: too short', '00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01', 'length'),
('3.2.2.3 trace-id: too short, in a value long enough',
    '00-4bf92f3577b34da6a3ce929d0e0e473-000f067aa0ba902b7-01', 'trace-id'),
('3.2.2.4 parent-id: all zero', '00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01',
    'parent-id zero'),
('3.2.2.4 parent-id: upper case', '00-4bf92f3577b34da6a3ce929d0e0e4736-00F067AA0BA902B7-01',
    'parent-id'),
('3.2.2.4 parent-id: no digit first', '00-4bf92f3577b34da6a3ce929d0e0e4736-/0f067aa0ba902b7-01',
    'parent-id'),
('3.2.2.4 parent-id: no digit last', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b:-01',
    'parent-id'),
('3.2.2.4 parent-id: too long', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b71-01',
    'delimiter'),
('3.2.2.4 parent-id: too short', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b-001',
    'parent-id'),
('3.2.2.5 trace-flags: no digit first', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-.0',
    'flags'),
('3.2.2.5 trace-flags: no digit last', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0.',
    'flags'),
('3.2.2.5 trace-flags: upper case', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-FF',
    'flags'),
('3.2.2.5 trace-flags: one digit', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1',
    'length'),
('3.2.2.5 trace-flags: three digits', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-001',
    'length'),
('3.2.4 a higher version shorter than 55 characters',
    '01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1', 'length'),
('3.2.4 a higher version goes on without a dash',
    'cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what-the-future-will-be-like',
        'delimiter'),
('3.2.4 a higher version: trace-id checked',
    '01-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01', 'trace-id'),
('3.2.4 a higher version: trace-id all zero',
    '01-00000000000000000000000000000000-00f067aa0ba902b7-01', 'trace-id zero'),
('3.2.4 a higher version: parent-id checked',
    '01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902bg-01', 'parent-id'),
('3.2.4 a higher version: flags checked',
    '01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-xx-y', 'flags'),
('RFC 9110 5.5: other white space is no part of a header',
    e'00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n', 'length'),
('RFC 9110 5.5: white space within', '00- 4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01',
    'trace-id')
) v(clause, value, field);

SELECT plan(2 * count(*)::int + 2) FROM cases;
SELECT is(otel.from_traceparent(value)::text, accepted,
          clause || CASE WHEN accepted IS NULL THEN ': from_traceparent() is NULL'
              ELSE ': from_traceparent() reads it' END)
  FROM cases ORDER BY n;
SELECT is(pg_temp.strict(value), coalesce(accepted, '22P02 ' || detail),
          clause || CASE WHEN accepted IS NULL THEN ': the cast raises' ELSE ': the cast reads it'
              END)
  FROM cases ORDER BY n;
-- the tables above would prove nothing if a name of a field had a typing error
SELECT is(count(*), 0::bigint, 'every case expects something') FROM cases
    WHERE (accepted IS NULL) = (detail IS NULL);
SELECT is(count(*), 0::bigint,
    'no value but a valid one is read when a character of it is replaced')
  FROM generate_series(1, 55) AS at,
       unnest(ARRAY['-', 'A', 'g', 'G', '/', ':', '`', ' ', e'\t', e'\n', e'\x01', e'\x7f']) AS c,
       overlay('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' PLACING c FROM at) AS value
 WHERE otel.from_traceparent(value) IS NOT NULL
   AND value !~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$';
SELECT * FROM finish();
ROLLBACK;
