/* otel_links--1.0.sql: grouped as docs/reference.md is. */

\echo Use "CREATE EXTENSION otel_links" to load this file. \quit

-- The script makes the schema itself, so that it owns what it fills. A schema of that name that
-- somebody uses makes it fail; an empty one of a superuser is taken over, because Rails'
-- schema.rb creates all schemas before the extensions.
DO $take_over$
DECLARE
    owner record;
BEGIN
    SELECT r.rolname, r.rolsuper INTO owner
        FROM pg_catalog.pg_namespace n
        JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) n.nspowner
        WHERE n.nspname OPERATOR(pg_catalog.=) 'otel';
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF NOT owner.rolsuper THEN
        RAISE duplicate_schema USING
            MESSAGE = 'schema "otel" already exists',
            DETAIL = pg_catalog.format('It belongs to role "%s", which is not a superuser.',
                                       owner.rolname),
            HINT = 'Rename or drop that schema: otel_links needs one of this name for itself.';
    END IF;
    BEGIN
        DROP SCHEMA otel;
    EXCEPTION WHEN dependent_objects_still_exist THEN
        RAISE duplicate_schema USING
            MESSAGE = 'schema "otel" already exists',
            DETAIL = 'It is not empty, or belongs to another extension.',
            HINT = 'Rename or drop that schema: otel_links needs one of this name for itself.';
    END;
END
$take_over$;
CREATE SCHEMA otel;
COMMENT ON SCHEMA otel IS 'otel_links: trace contexts on rows, and span links made from them';
GRANT USAGE ON SCHEMA otel TO PUBLIC;

----------------------------------------------------------------------------------------------------
-- The type
----------------------------------------------------------------------------------------------------

CREATE TYPE otel.trace_context;

CREATE FUNCTION otel.trace_context_in(pg_catalog.cstring) RETURNS otel.trace_context
AS 'MODULE_PATHNAME', 'otel_trace_context_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.trace_context_in(pg_catalog.cstring) IS
'text input of otel.trace_context: a traceparent, then optionally ";" and a tracestate; raises '
'invalid_text_representation with the field that is wrong';

CREATE FUNCTION otel.trace_context_out(otel.trace_context) RETURNS pg_catalog.cstring
AS 'MODULE_PATHNAME', 'otel_trace_context_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.trace_context_out(otel.trace_context) IS
'text output of otel.trace_context: the traceparent with its flags as received, then ";" and the '
'tracestate when there is one';

CREATE FUNCTION otel.trace_context_recv(pg_catalog.internal) RETURNS otel.trace_context
AS 'MODULE_PATHNAME', 'otel_trace_context_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.trace_context_recv(pg_catalog.internal) IS
'binary input of otel.trace_context: 1 byte flags, 16 trace id, 8 span id, then the tracestate; '
'raises invalid_binary_representation';

CREATE FUNCTION otel.trace_context_send(otel.trace_context) RETURNS pg_catalog.bytea
AS 'MODULE_PATHNAME', 'otel_trace_context_send' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.trace_context_send(otel.trace_context) IS
'binary output of otel.trace_context: 1 byte flags, 16 trace id, 8 span id, then the tracestate';

-- main: it is worth compressing a long tracestate, but hardly ever worth a trip to the toast table.
CREATE TYPE otel.trace_context (
    INPUT = otel.trace_context_in,
    OUTPUT = otel.trace_context_out,
    RECEIVE = otel.trace_context_recv,
    SEND = otel.trace_context_send,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = pg_catalog.int4,
    STORAGE = main
);
COMMENT ON TYPE otel.trace_context IS
'a span context as W3C Trace Context carries it: trace id, span id, flags and tracestate; always '
'valid';

CREATE FUNCTION otel.trace_context_lt(otel.trace_context, otel.trace_context)
RETURNS pg_catalog.bool
AS 'MODULE_PATHNAME', 'otel_trace_context_lt' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION otel.trace_context_lt(otel.trace_context, otel.trace_context) IS
'implementation of < operator';

CREATE FUNCTION otel.trace_context_le(otel.trace_context, otel.trace_context)
RETURNS pg_catalog.bool
AS 'MODULE_PATHNAME', 'otel_trace_context_le' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION otel.trace_context_le(otel.trace_context, otel.trace_context) IS
'implementation of <= operator';

CREATE FUNCTION otel.trace_context_eq(otel.trace_context, otel.trace_context)
RETURNS pg_catalog.bool
AS 'MODULE_PATHNAME', 'otel_trace_context_eq' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION otel.trace_context_eq(otel.trace_context, otel.trace_context) IS
'implementation of = operator';

CREATE FUNCTION otel.trace_context_ne(otel.trace_context, otel.trace_context)
RETURNS pg_catalog.bool
AS 'MODULE_PATHNAME', 'otel_trace_context_ne' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION otel.trace_context_ne(otel.trace_context, otel.trace_context) IS
'implementation of <> operator';

CREATE FUNCTION otel.trace_context_ge(otel.trace_context, otel.trace_context)
RETURNS pg_catalog.bool
AS 'MODULE_PATHNAME', 'otel_trace_context_ge' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION otel.trace_context_ge(otel.trace_context, otel.trace_context) IS
'implementation of >= operator';

CREATE FUNCTION otel.trace_context_gt(otel.trace_context, otel.trace_context)
RETURNS pg_catalog.bool
AS 'MODULE_PATHNAME', 'otel_trace_context_gt' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION otel.trace_context_gt(otel.trace_context, otel.trace_context) IS
'implementation of > operator';

-- The operators are in pg_catalog, as those of the built-in types are: IN, USING, NULLIF, IS
-- DISTINCT FROM and every ORM look "=" up by its bare name. They take nothing but this type, so no
-- other expression resolves differently.
CREATE OPERATOR pg_catalog.< (
    FUNCTION = otel.trace_context_lt, LEFTARG = otel.trace_context, RIGHTARG = otel.trace_context,
    COMMUTATOR = OPERATOR(pg_catalog.>), NEGATOR = OPERATOR(pg_catalog.>=),
    RESTRICT = pg_catalog.scalarltsel, JOIN = pg_catalog.scalarltjoinsel
);
COMMENT ON OPERATOR pg_catalog.< (otel.trace_context, otel.trace_context) IS
'less than; the order is trace id, span id, flags, tracestate, bytewise';

CREATE OPERATOR pg_catalog.<= (
    FUNCTION = otel.trace_context_le, LEFTARG = otel.trace_context, RIGHTARG = otel.trace_context,
    COMMUTATOR = OPERATOR(pg_catalog.>=), NEGATOR = OPERATOR(pg_catalog.>),
    RESTRICT = pg_catalog.scalarlesel, JOIN = pg_catalog.scalarlejoinsel
);
COMMENT ON OPERATOR pg_catalog.<= (otel.trace_context, otel.trace_context) IS 'less than or equal';

CREATE OPERATOR pg_catalog.= (
    FUNCTION = otel.trace_context_eq, LEFTARG = otel.trace_context, RIGHTARG = otel.trace_context,
    COMMUTATOR = OPERATOR(pg_catalog.=), NEGATOR = OPERATOR(pg_catalog.<>),
    RESTRICT = pg_catalog.eqsel, JOIN = pg_catalog.eqjoinsel,
    HASHES, MERGES
);
COMMENT ON OPERATOR pg_catalog.= (otel.trace_context, otel.trace_context) IS 'equal';

CREATE OPERATOR pg_catalog.<> (
    FUNCTION = otel.trace_context_ne, LEFTARG = otel.trace_context, RIGHTARG = otel.trace_context,
    COMMUTATOR = OPERATOR(pg_catalog.<>), NEGATOR = OPERATOR(pg_catalog.=),
    RESTRICT = pg_catalog.neqsel, JOIN = pg_catalog.neqjoinsel
);
COMMENT ON OPERATOR pg_catalog.<> (otel.trace_context, otel.trace_context) IS 'not equal';

CREATE OPERATOR pg_catalog.>= (
    FUNCTION = otel.trace_context_ge, LEFTARG = otel.trace_context, RIGHTARG = otel.trace_context,
    COMMUTATOR = OPERATOR(pg_catalog.<=), NEGATOR = OPERATOR(pg_catalog.<),
    RESTRICT = pg_catalog.scalargesel, JOIN = pg_catalog.scalargejoinsel
);
COMMENT ON OPERATOR pg_catalog.>= (otel.trace_context, otel.trace_context) IS
'greater than or equal';

CREATE OPERATOR pg_catalog.> (
    FUNCTION = otel.trace_context_gt, LEFTARG = otel.trace_context, RIGHTARG = otel.trace_context,
    COMMUTATOR = OPERATOR(pg_catalog.<), NEGATOR = OPERATOR(pg_catalog.<=),
    RESTRICT = pg_catalog.scalargtsel, JOIN = pg_catalog.scalargtjoinsel
);
COMMENT ON OPERATOR pg_catalog.> (otel.trace_context, otel.trace_context) IS 'greater than';

CREATE FUNCTION otel.trace_context_cmp(otel.trace_context, otel.trace_context)
RETURNS pg_catalog.int4
AS 'MODULE_PATHNAME', 'otel_trace_context_cmp' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION otel.trace_context_cmp(otel.trace_context, otel.trace_context) IS
'less, equal or greater as -, 0 or +; btree support';

CREATE FUNCTION otel.trace_context_sortsupport(pg_catalog.internal) RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'otel_trace_context_sortsupport' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.trace_context_sortsupport(pg_catalog.internal) IS
'sort support with abbreviated keys';

CREATE OPERATOR CLASS otel.trace_context_ops DEFAULT FOR TYPE otel.trace_context USING btree AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 otel.trace_context_cmp(otel.trace_context, otel.trace_context),
    FUNCTION 2 otel.trace_context_sortsupport(pg_catalog.internal),
    FUNCTION 4 pg_catalog.btequalimage(pg_catalog.oid);
COMMENT ON OPERATOR CLASS otel.trace_context_ops USING btree IS 'btree order of otel.trace_context';
COMMENT ON OPERATOR FAMILY otel.trace_context_ops USING btree IS
'btree order of otel.trace_context';

CREATE FUNCTION otel.trace_context_hash(otel.trace_context) RETURNS pg_catalog.int4
AS 'MODULE_PATHNAME', 'otel_trace_context_hash' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION otel.trace_context_hash(otel.trace_context) IS 'hash of the whole value';

CREATE FUNCTION otel.trace_context_hash_extended(otel.trace_context, pg_catalog.int8)
RETURNS pg_catalog.int8
AS 'MODULE_PATHNAME', 'otel_trace_context_hash_extended'
LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION otel.trace_context_hash_extended(otel.trace_context, pg_catalog.int8) IS
'64-bit hash of the whole value with a seed';

CREATE OPERATOR CLASS otel.trace_context_ops DEFAULT FOR TYPE otel.trace_context USING hash AS
    OPERATOR 1 pg_catalog.=,
    FUNCTION 1 otel.trace_context_hash(otel.trace_context),
    FUNCTION 2 otel.trace_context_hash_extended(otel.trace_context, pg_catalog.int8);
COMMENT ON OPERATOR CLASS otel.trace_context_ops USING hash IS 'hashing of otel.trace_context';
COMMENT ON OPERATOR FAMILY otel.trace_context_ops USING hash IS 'hashing of otel.trace_context';

CREATE FUNCTION otel.trace_id(context otel.trace_context) RETURNS pg_catalog.text
AS 'MODULE_PATHNAME', 'otel_trace_id' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.trace_id(otel.trace_context) IS
'the trace id, 32 lower-case hexadecimal digits; NULL for NULL';

CREATE FUNCTION otel.span_id(context otel.trace_context) RETURNS pg_catalog.text
AS 'MODULE_PATHNAME', 'otel_span_id' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.span_id(otel.trace_context) IS
'the span id, 16 lower-case hexadecimal digits; NULL for NULL';

CREATE FUNCTION otel.trace_flags(context otel.trace_context) RETURNS pg_catalog.int4
AS 'MODULE_PATHNAME', 'otel_trace_flags' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.trace_flags(otel.trace_context) IS
'the trace flags as received, 0 to 255: 1 sampled, 2 random trace id; NULL for NULL';

CREATE FUNCTION otel.trace_state(context otel.trace_context) RETURNS pg_catalog.text
AS 'MODULE_PATHNAME', 'otel_trace_state' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.trace_state(otel.trace_context) IS
'the tracestate, normalised; NULL when there is none';

CREATE FUNCTION otel.is_sampled(context otel.trace_context) RETURNS pg_catalog.bool
AS 'MODULE_PATHNAME', 'otel_is_sampled' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.is_sampled(otel.trace_context) IS 'is the sampled flag set? NULL for NULL';

-- Strings reach columns as text and, from JDBC and ORMs on top of it, as varchar.
CREATE CAST (pg_catalog.text AS otel.trace_context) WITH INOUT AS ASSIGNMENT;
COMMENT ON CAST (pg_catalog.text AS otel.trace_context) IS
'the text form; raises invalid_text_representation with the field that is wrong';
CREATE CAST (pg_catalog.varchar AS otel.trace_context) WITH INOUT AS ASSIGNMENT;
COMMENT ON CAST (pg_catalog.varchar AS otel.trace_context) IS
'the text form; raises invalid_text_representation with the field that is wrong';

----------------------------------------------------------------------------------------------------
-- Headers and carriers
----------------------------------------------------------------------------------------------------

CREATE FUNCTION otel.traceparent(context otel.trace_context) RETURNS pg_catalog.text
AS 'MODULE_PATHNAME', 'otel_traceparent' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.traceparent(otel.trace_context) IS
'The traceparent header to propagate. Version 00, with only the flags sampled and random. NULL for
NULL';

CREATE FUNCTION otel.from_traceparent(
    traceparent  pg_catalog.text,
    tracestate   pg_catalog.text  DEFAULT NULL
) RETURNS otel.trace_context
AS 'MODULE_PATHNAME', 'otel_from_traceparent' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION otel.from_traceparent(pg_catalog.text, pg_catalog.text) IS
'The context in two header values. NULL when the traceparent is not usable; never raises. Turns a
text column of traceparents into contexts, for every function that takes contexts.
traceparent: the header, or the text form of the type
tracestate: the header; ignored when NULL or invalid, or when traceparent includes one';

CREATE FUNCTION otel.from_ids(
    trace_id     pg_catalog.text,
    span_id      pg_catalog.text,
    trace_flags  pg_catalog.int4,
    trace_state  pg_catalog.text  DEFAULT NULL
) RETURNS otel.trace_context
AS 'MODULE_PATHNAME', 'otel_from_ids' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION otel.from_ids(
    pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog.text) IS
'The context with these ids and flags, as tables keep them in separate columns. NULL when an id is
NULL or invalid or the flags are out of range; never raises.
trace_id: 32 lower-case hexadecimal digits
span_id: 16 lower-case hexadecimal digits
trace_flags: 0 to 255, where 1 is sampled; NULL is 0
trace_state: the tracestate; ignored when NULL or invalid';

CREATE FUNCTION otel.extract(
    carrier  pg_catalog.jsonb,
    path     pg_catalog.text[]  DEFAULT '{}'
) RETURNS otel.trace_context
AS 'MODULE_PATHNAME', 'otel_extract' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.extract(pg_catalog.jsonb, pg_catalog.text[]) IS
'The context in a carrier. NULL when it has no valid traceparent, or more than one; an unusable
tracestate is ignored. Never raises. Always write the schema: EXTRACT alone is an SQL keyword.
carrier: a JSON object of header names, in any case, and values, or a list of pairs of name and
value; the traceparent is a string or an array of one, the tracestate a string or an array of
strings
path: the keys that lead to a nested carrier, outermost first';

CREATE FUNCTION otel.extract(
    carrier  pg_catalog.text,
    path     pg_catalog.text[]  DEFAULT '{}'
) RETURNS otel.trace_context
AS 'MODULE_PATHNAME', 'otel_extract_text' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.extract(pg_catalog.text, pg_catalog.text[]) IS
'The context in a carrier kept as text. NULL when there is none; an unusable tracestate is ignored.
Never raises.
carrier: a traceparent, the text form of the type, the JSON that the function for jsonb reads
(Active Job keeps a list of pairs), or java.util.Properties (traceparent=..., as Debezium keeps
it)
path: the keys that lead to a nested carrier, outermost first; with a path, only JSON is read';

CREATE FUNCTION otel.extract(
    carrier  pg_catalog.json,
    path     pg_catalog.text[]  DEFAULT '{}'
) RETURNS otel.trace_context
AS 'MODULE_PATHNAME', 'otel_extract_text' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.extract(pg_catalog.json, pg_catalog.text[]) IS
'The context in a carrier of type json. Otherwise as for jsonb';

CREATE FUNCTION otel.inject(context otel.trace_context) RETURNS pg_catalog.jsonb
AS 'MODULE_PATHNAME', 'otel_inject' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION otel.inject(otel.trace_context) IS
'The carrier of a context. A JSON object of traceparent and, when there is one, tracestate; {} for
NULL, so headers || otel.inject(context) is always safe';

CREATE FUNCTION otel.trace_context(carrier pg_catalog.jsonb) RETURNS otel.trace_context
AS 'MODULE_PATHNAME', 'otel_trace_context_from_jsonb' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.trace_context(pg_catalog.jsonb) IS
'the cast from a carrier: as otel.extract(), but raises invalid_text_representation where that '
'leaves something out; NULL for NULL';

CREATE FUNCTION otel.jsonb(context otel.trace_context) RETURNS pg_catalog.jsonb
AS 'MODULE_PATHNAME', 'otel_trace_context_to_jsonb' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.jsonb(otel.trace_context) IS
'the cast to a carrier: as otel.inject(), but NULL for NULL';

CREATE CAST (pg_catalog.jsonb AS otel.trace_context)
    WITH FUNCTION otel.trace_context(pg_catalog.jsonb);
COMMENT ON CAST (pg_catalog.jsonb AS otel.trace_context) IS
'the context in a carrier; raises invalid_text_representation when a header is missing, '
'ambiguous or invalid';
CREATE CAST (otel.trace_context AS pg_catalog.jsonb) WITH FUNCTION otel.jsonb(otel.trace_context);
COMMENT ON CAST (otel.trace_context AS pg_catalog.jsonb) IS 'the carrier of a context';

----------------------------------------------------------------------------------------------------
-- Capture
----------------------------------------------------------------------------------------------------

CREATE FUNCTION otel.current_trace_context() RETURNS otel.trace_context
AS 'MODULE_PATHNAME', 'otel_current_trace_context' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION otel.current_trace_context() IS
'The current context, for a column default. That of the innermost open span, or else of the first
of these sources that otel.context_sources lists and that holds a valid context: transaction
(otel.traceparent, set in this transaction), comment (the SQLCommenter comment of the running
statement), application_name, session (otel.traceparent, set for the session), postgrest
(request.headers) and pg_tracing (pg_tracing.trace_context). NULL when there is none, when
otel.propagators does not include tracecontext, and for the existing rows that ALTER TABLE fills.
Never raises';

CREATE FUNCTION otel.trace_context_sources() RETURNS TABLE (
    source   pg_catalog.text,
    value    pg_catalog.text,
    context  otel.trace_context,
    answers  pg_catalog.bool,
    reason   pg_catalog.text
)
AS 'MODULE_PATHNAME', 'otel_trace_context_sources' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 7;
COMMENT ON FUNCTION otel.trace_context_sources() IS
'Shows where the current context of this very statement comes from, or why there is none. One row
for each source, in order of precedence.
source: the source, as in otel.context_sources
value: what it holds, at most 1,000 bytes of it; NULL when it holds nothing
context: the context in that value; NULL when there is none
answers: whether this is the current context
reason: why it is not; NULL when it is';

CREATE FUNCTION otel.set_trace_context(
    traceparent  pg_catalog.text,
    tracestate   pg_catalog.text  DEFAULT NULL,
    is_local     pg_catalog.bool  DEFAULT true
) RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'otel_set_trace_context' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION otel.set_trace_context(pg_catalog.text, pg_catalog.text, pg_catalog.bool) IS
'Sets the context of the statements that follow. Sets otel.traceparent and otel.tracestate. Never
raises, whatever the values.
traceparent: the header; NULL or an invalid one clears the context
tracestate: the header
is_local: until the end of the transaction (also for NULL); false is until the end of the session,
which is wrong behind a transaction pooler';

CREATE FUNCTION otel.capture_trace_context() RETURNS pg_catalog.trigger
AS 'MODULE_PATHNAME', 'otel_capture_trace_context' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION otel.capture_trace_context() IS
'The trigger that puts the current context into a column. BEFORE INSERT or UPDATE, FOR EACH ROW;
otel.capture_into() creates it. Its arguments are the column (default trace_context), keep (the
default: a valid context stays) or replace, and the path of a nested carrier as text[]. A column
of type otel.trace_context takes the context. In jsonb and json, the carrier is merged into an
object and replaces NULL and JSON null. In text and varchar, a traceparent replaces NULL, the
empty string and a context, and a JSON object gets the carrier. Any other value stays as it is,
and so does every row while there is no current context. Raises undefined_column;
datatype_mismatch for another type or a generated column; and invalid_parameter_value or
null_value_not_allowed for other arguments';

CREATE FUNCTION otel.add_trace_context(
    table_name   pg_catalog.regclass,
    column_name  pg_catalog.name      DEFAULT 'trace_context',
    type         pg_catalog.regtype   DEFAULT 'otel.trace_context'
) RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'otel_add_trace_context' LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION otel.add_trace_context(
    pg_catalog.regclass, pg_catalog.name, pg_catalog.regtype) IS
'Adds a column that records the context of the statement that inserts the row. The default comes
after the column, so existing rows stay NULL and the table is not rewritten. Partitions and
inheriting tables get both. Can be repeated: an existing column and default stay, and a partition
that lacks the default gets it. Takes ACCESS EXCLUSIVE locks for a moment, and none when there is
nothing to do; set lock_timeout on a busy table. Raises null_value_not_allowed for NULL,
wrong_object_type when it is not a table, insufficient_privilege for anyone but its owner,
datatype_mismatch when the column has another type, and invalid_parameter_value for an unsupported
type.
table_name: a table, partitioned table or foreign table
column_name: the column to add
type: otel.trace_context or, for tools that do not know that type, text or varchar (the
traceparent) or jsonb (the carrier); NULL is otel.trace_context';

CREATE FUNCTION otel.capture_into(
    table_name   pg_catalog.regclass,
    column_name  pg_catalog.name,
    mode         pg_catalog.text    DEFAULT 'keep',
    path         pg_catalog.text[]  DEFAULT NULL,
    update_of    pg_catalog.name[]  DEFAULT NULL
) RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'otel_capture_into' LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION otel.capture_into(
    pg_catalog.regclass, pg_catalog.name, pg_catalog.text, pg_catalog.text[], pg_catalog.name[]) IS
'Creates the trigger otel.capture_trace_context() for an existing column. The table may be your own
or a queue library''s. Partitions get the trigger too, including later ones, and so do inheriting
tables, where a later one needs another call. Repeating the call replaces the trigger. Nothing has
to be restarted. Takes a SHARE ROW EXCLUSIVE lock, which waits for writers; set lock_timeout on a
busy table. Raises what otel.add_trace_context() raises, undefined_column when there is no such
column, and invalid_parameter_value for another mode or for a path into a column that is not JSON.
table_name: a table, partitioned table or foreign table
column_name: a column of type otel.trace_context, text, varchar, json or jsonb
mode: keep (a valid context stays) or replace; NULL is keep
path: the keys that lead to a nested carrier, outermost first
update_of: columns whose UPDATE counts as a new request, such as the payload that an upsert
changes; NULL is INSERT only';

CREATE FUNCTION otel.remove_capture(table_name pg_catalog.regclass, column_name pg_catalog.name)
RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'otel_remove_capture' LANGUAGE C VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION otel.remove_capture(pg_catalog.regclass, pg_catalog.name) IS
'Stops capturing into a column. Drops the trigger, and the default when it calls
otel.current_trace_context(), from the table, its partitions and those that inherit from it; the
column and its values stay. Raises what otel.capture_into() raises for a table or column; a NOTICE
says when there was nothing to remove';

----------------------------------------------------------------------------------------------------
-- Links
----------------------------------------------------------------------------------------------------

CREATE TYPE otel.span_link AS (
    context     otel.trace_context,
    attributes  pg_catalog.jsonb
);
COMMENT ON TYPE otel.span_link IS
'a span link: the context it points to, and attributes (a JSON object or NULL)';

CREATE FUNCTION otel.span_link(
    context     otel.trace_context,
    attributes  pg_catalog.jsonb    DEFAULT NULL
) RETURNS otel.span_link
AS 'MODULE_PATHNAME', 'otel_span_link' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION otel.span_link(otel.trace_context, pg_catalog.jsonb) IS
'A link to a context. NULL when the context is NULL.
attributes: a JSON object or NULL; raises invalid_parameter_value for anything else';

CREATE FUNCTION otel.link_agg_transfn(state pg_catalog.internal, context otel.trace_context)
RETURNS pg_catalog.internal
AS 'MODULE_PATHNAME', 'otel_link_agg_transfn' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION otel.link_agg_transfn(pg_catalog.internal, otel.trace_context)
    IS 'aggregate transition function of otel.link_agg';

CREATE FUNCTION otel.link_agg_transfn(
    state       pg_catalog.internal,
    context     otel.trace_context,
    attributes  pg_catalog.jsonb
) RETURNS pg_catalog.internal
AS 'MODULE_PATHNAME', 'otel_link_agg_transfn' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION otel.link_agg_transfn(pg_catalog.internal, otel.trace_context, pg_catalog.jsonb)
    IS 'aggregate transition function of otel.link_agg';

CREATE FUNCTION otel.link_agg_merge_transfn(state pg_catalog.internal, links otel.span_link[])
RETURNS pg_catalog.internal
AS 'MODULE_PATHNAME', 'otel_link_agg_merge_transfn' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION otel.link_agg_merge_transfn(pg_catalog.internal, otel.span_link[])
    IS 'aggregate transition function of otel.link_agg';

CREATE FUNCTION otel.link_agg_combine(state pg_catalog.internal, other pg_catalog.internal)
RETURNS pg_catalog.internal
AS 'MODULE_PATHNAME', 'otel_link_agg_combine' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION otel.link_agg_combine(pg_catalog.internal, pg_catalog.internal)
    IS 'aggregate combine function of otel.link_agg';

CREATE FUNCTION otel.link_agg_serialize(state pg_catalog.internal) RETURNS pg_catalog.bytea
AS 'MODULE_PATHNAME', 'otel_link_agg_serialize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.link_agg_serialize(pg_catalog.internal)
    IS 'aggregate serial function of otel.link_agg';

CREATE FUNCTION otel.link_agg_deserialize(bytes pg_catalog.bytea, pg_catalog.internal)
RETURNS pg_catalog.internal
AS 'MODULE_PATHNAME', 'otel_link_agg_deserialize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.link_agg_deserialize(pg_catalog.bytea, pg_catalog.internal)
    IS 'aggregate deserial function of otel.link_agg';

CREATE FUNCTION otel.link_agg_finalfn(state pg_catalog.internal) RETURNS otel.span_link[]
AS 'MODULE_PATHNAME', 'otel_link_agg_finalfn' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION otel.link_agg_finalfn(pg_catalog.internal)
    IS 'aggregate final function of otel.link_agg';

CREATE AGGREGATE otel.link_agg(context otel.trace_context) (
    SFUNC = otel.link_agg_transfn,
    STYPE = pg_catalog.internal,
    FINALFUNC = otel.link_agg_finalfn,
    COMBINEFUNC = otel.link_agg_combine,
    SERIALFUNC = otel.link_agg_serialize,
    DESERIALFUNC = otel.link_agg_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE otel.link_agg(otel.trace_context) IS
'One link for each distinct context. In input order (in a parallel plan, in the order of its
parts). NULLs are skipped; NULL when nothing else is left. No link is dropped here: limits apply
where links are used';

CREATE AGGREGATE otel.link_agg(context otel.trace_context, attributes pg_catalog.jsonb) (
    SFUNC = otel.link_agg_transfn,
    STYPE = pg_catalog.internal,
    FINALFUNC = otel.link_agg_finalfn,
    COMBINEFUNC = otel.link_agg_combine,
    SERIALFUNC = otel.link_agg_serialize,
    DESERIALFUNC = otel.link_agg_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE otel.link_agg(otel.trace_context, pg_catalog.jsonb) IS
'One link for each distinct pair of context and attributes. In input order (in a parallel plan, in
the order of its parts). NULL contexts are skipped; NULL when nothing else is left.
attributes: a JSON object or NULL; raises invalid_parameter_value for anything else';

CREATE AGGREGATE otel.link_agg(links otel.span_link[]) (
    SFUNC = otel.link_agg_merge_transfn,
    STYPE = pg_catalog.internal,
    FINALFUNC = otel.link_agg_finalfn,
    COMBINEFUNC = otel.link_agg_combine,
    SERIALFUNC = otel.link_agg_serialize,
    DESERIALFUNC = otel.link_agg_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE otel.link_agg(otel.span_link[]) IS
'The distinct links of several arrays, such as those of shards or replicas. In input order. NULL
arrays, NULL elements and links without a context are skipped; NULL when nothing else is left.
Raises invalid_parameter_value when attributes are neither NULL nor a JSON object';

CREATE FUNCTION otel.span_contexts(
    contexts         otel.trace_context[],
    max_links        pg_catalog.int4       DEFAULT NULL,
    OUT trace_id     pg_catalog.text,
    OUT span_id      pg_catalog.text,
    OUT trace_flags  pg_catalog.int4,
    OUT trace_state  pg_catalog.text,
    OUT is_remote    pg_catalog.bool
) RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'otel_span_contexts' LANGUAGE C STABLE PARALLEL SAFE ROWS 128;
COMMENT ON FUNCTION otel.span_contexts(otel.trace_context[], pg_catalog.int4) IS
'The fields of each distinct context, in order of first appearance. trace_state is NULL when there
is none; is_remote is always true. No rows for NULL.
max_links: at most this many rows, first one of each trace, sampled ones before others; NULL is
otel.span_link_count_limit; raises invalid_parameter_value when negative';

CREATE FUNCTION otel.span_links(
    links            otel.span_link[],
    max_links        pg_catalog.int4   DEFAULT NULL,
    OUT trace_id     pg_catalog.text,
    OUT span_id      pg_catalog.text,
    OUT trace_flags  pg_catalog.int4,
    OUT trace_state  pg_catalog.text,
    OUT is_remote    pg_catalog.bool,
    OUT attributes   pg_catalog.jsonb
) RETURNS SETOF pg_catalog.record
AS 'MODULE_PATHNAME', 'otel_span_links' LANGUAGE C STABLE PARALLEL SAFE ROWS 128;
COMMENT ON FUNCTION otel.span_links(otel.span_link[], pg_catalog.int4) IS
'The fields of each link, in order. Links without a context are skipped; trace_state and attributes
are NULL when there are none; is_remote is always true. No rows for NULL; raises
invalid_parameter_value for attributes that are not a JSON object.
max_links: at most this many rows, first one of each trace, sampled ones before others; NULL is
otel.span_link_count_limit; raises invalid_parameter_value when negative';

CREATE FUNCTION otel.links_json(links otel.span_link[], max_links pg_catalog.int4 DEFAULT NULL)
    RETURNS pg_catalog.jsonb LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(pg_catalog.jsonb_agg(
               pg_catalog.jsonb_build_object('context',
                   pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
                       'traceId', l.trace_id, 'spanId', l.span_id, 'traceFlags', l.trace_flags,
                       'traceState', l.trace_state, 'isRemote', l.is_remote)))
               OPERATOR(pg_catalog.||)
               CASE WHEN l.attributes IS NULL THEN '{}'
                    ELSE pg_catalog.jsonb_build_object('attributes', l.attributes) END
               ORDER BY l.ordinality), '[]')
      FROM otel.span_links(links, max_links) WITH ORDINALITY AS l;
END;
COMMENT ON FUNCTION otel.links_json(otel.span_link[], pg_catalog.int4) IS
'The links as JSON, in the form that OpenTelemetry''s SDKs take. An array of objects with context
(traceId, spanId, traceFlags, traceState, isRemote) and attributes; traceState and attributes are
omitted when there are none. [] for NULL; raises what otel.span_links() raises.
max_links: as in otel.span_links()';

----------------------------------------------------------------------------------------------------
-- Spans
----------------------------------------------------------------------------------------------------

CREATE FUNCTION otel.start_span(
    name        pg_catalog.text,
    links       otel.span_link[]        DEFAULT NULL,
    kind        pg_catalog.text         DEFAULT 'internal',
    attributes  pg_catalog.jsonb        DEFAULT NULL,
    parent      otel.trace_context      DEFAULT NULL,
    root        pg_catalog.bool         DEFAULT false,
    start_time  pg_catalog.timestamptz  DEFAULT NULL,
    scope       pg_catalog.text         DEFAULT 'transaction'
) RETURNS otel.trace_context
AS 'MODULE_PATHNAME', 'otel_start_span' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION otel.start_span(
    pg_catalog.text, otel.span_link[], pg_catalog.text, pg_catalog.jsonb, otel.trace_context,
    pg_catalog.bool, pg_catalog.timestamptz, pg_catalog.text) IS
'Starts a span, makes it the current context, and returns its context. Misuse is a warning, or an
error with otel.strict. NULL only when nothing is recorded (otel.sdk_disabled, an empty name) and
there is no parent.
name: the name of the span, not empty
links: as from otel.link_agg(); more can be added later
kind: internal, server, client, producer or consumer
attributes: a JSON object
parent: the context of its parent; NULL is the current context
root: starts a new trace whatever the current context is, as a job that works for many requests
should
start_time: when it started; NULL is now
scope: transaction ends it with its transaction or top-level statement at the latest; session
leaves it open until it is ended';

CREATE FUNCTION otel.end_span(
    status      pg_catalog.text         DEFAULT NULL,
    message     pg_catalog.text         DEFAULT NULL,
    attributes  pg_catalog.jsonb        DEFAULT NULL,
    span        otel.trace_context      DEFAULT NULL,
    end_time    pg_catalog.timestamptz  DEFAULT NULL
) RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'otel_end_span' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION otel.end_span(
    pg_catalog.text, pg_catalog.text, pg_catalog.jsonb, otel.trace_context,
    pg_catalog.timestamptz) IS
'Ends a span. It is queued for export when the transaction commits. After a rollback it is queued
as well, with status error, by the session''s next transaction that can write, or when the session
ends. Spans started inside it stay open, but are no longer current. Without an open span it warns,
or raises with otel.strict.
status: ok or error; NULL and unset leave it as it is
message: what went wrong, for the status error
attributes: a JSON object, added to those that are there
span: the context that otel.start_span() returned; NULL is the innermost open span
end_time: when it ended; NULL is now';

CREATE FUNCTION otel.set_attributes(
    attributes  pg_catalog.jsonb,
    span        otel.trace_context  DEFAULT NULL
) RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'otel_set_attributes' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION otel.set_attributes(pg_catalog.jsonb, otel.trace_context) IS
'Sets attributes of a span.
attributes: a JSON object; an existing key gets the new value; NULL does nothing
span: the context that otel.start_span() returned; NULL is the innermost open span';

CREATE FUNCTION otel.add_event(
    name        pg_catalog.text,
    attributes  pg_catalog.jsonb        DEFAULT NULL,
    event_time  pg_catalog.timestamptz  DEFAULT NULL,
    span        otel.trace_context      DEFAULT NULL
) RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'otel_add_event' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION otel.add_event(
    pg_catalog.text, pg_catalog.jsonb, pg_catalog.timestamptz, otel.trace_context) IS
'Adds an event to a span. Above otel.span_event_count_limit the oldest event is dropped and
counted.
name: the name of the event
attributes: a JSON object
event_time: when it happened; NULL is now
span: the context that otel.start_span() returned; NULL is the innermost open span';

CREATE FUNCTION otel.record_exception(
    sqlstate    pg_catalog.text,
    message     pg_catalog.text,
    stacktrace  pg_catalog.text     DEFAULT NULL,
    attributes  pg_catalog.jsonb    DEFAULT NULL,
    span        otel.trace_context  DEFAULT NULL
) RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'otel_record_exception' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION otel.record_exception(
    pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.jsonb, otel.trace_context) IS
'Adds the event exception to a span, for use in an EXCEPTION block. The status does not change: for
that, call otel.end_span(''error'', SQLERRM).
sqlstate: SQLSTATE; exception.type is the name of the condition (division_by_zero) if it has one
message: SQLERRM, as exception.message
stacktrace: exception.stacktrace; NULL is the call stack of the procedural language
attributes: a JSON object
span: the context that otel.start_span() returned; NULL is the innermost open span';

CREATE FUNCTION otel.add_links(
    links  otel.span_link[],
    span   otel.trace_context  DEFAULT NULL
) RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'otel_add_links' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION otel.add_links(otel.span_link[], otel.trace_context) IS
'Adds links to a span. The limits on links are those in force when the transaction commits.
links: as from otel.link_agg(); NULL does nothing
span: the context that otel.start_span() returned; NULL is the innermost open span';

CREATE FUNCTION otel.set_status(
    status   pg_catalog.text,
    message  pg_catalog.text     DEFAULT NULL,
    span     otel.trace_context  DEFAULT NULL
) RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'otel_set_status' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION otel.set_status(pg_catalog.text, pg_catalog.text, otel.trace_context) IS
'Sets the status of a span.
status: ok, which is final and wins over error, or error; unset does nothing
message: what went wrong, for the status error
span: the context that otel.start_span() returned; NULL is the innermost open span';

CREATE FUNCTION otel.update_name(
    name  pg_catalog.text,
    span  otel.trace_context  DEFAULT NULL
) RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'otel_update_name' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION otel.update_name(pg_catalog.text, otel.trace_context) IS
'Renames a span.
name: the new name, not empty
span: the context that otel.start_span() returned; NULL is the innermost open span';

CREATE FUNCTION otel.discard_span(
    span  otel.trace_context  DEFAULT NULL
) RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'otel_discard_span' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION otel.discard_span(otel.trace_context) IS
'Discards an open span, which is then not exported. For runs that found nothing to do.
span: the context that otel.start_span() returned; NULL is the innermost open span';

CREATE FUNCTION otel.record_span(
    name        pg_catalog.text,
    start_time  pg_catalog.timestamptz,
    end_time    pg_catalog.timestamptz  DEFAULT NULL,
    links       otel.span_link[]        DEFAULT NULL,
    kind        pg_catalog.text         DEFAULT 'internal',
    attributes  pg_catalog.jsonb        DEFAULT NULL,
    parent      otel.trace_context      DEFAULT NULL,
    root        pg_catalog.bool         DEFAULT false,
    status      pg_catalog.text         DEFAULT NULL,
    message     pg_catalog.text         DEFAULT NULL
) RETURNS otel.trace_context
AS 'MODULE_PATHNAME', 'otel_record_span' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION otel.record_span(
    pg_catalog.text, pg_catalog.timestamptz, pg_catalog.timestamptz, otel.span_link[],
    pg_catalog.text, pg_catalog.jsonb, otel.trace_context, pg_catalog.bool, pg_catalog.text,
    pg_catalog.text) IS
'Records a finished span in one call and returns its context. It is never the current context.
name: the name of the span, not empty
start_time: when it started; NULL is now
end_time: when it ended; NULL is now; an end before the start is moved to the start, with a
warning
links: as from otel.link_agg()
kind: internal, server, client, producer or consumer
attributes: a JSON object
parent: the context of its parent; NULL is the current context
root: starts a new trace whatever the current context is
status: ok or error; NULL is unset
message: what went wrong, for the status error';

CREATE FUNCTION otel.record_wait(
    context     otel.trace_context,
    since       pg_catalog.timestamptz,
    name        pg_catalog.text   DEFAULT NULL,
    attributes  pg_catalog.jsonb  DEFAULT NULL
) RETURNS pg_catalog.void
AS 'MODULE_PATHNAME', 'otel_record_wait' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION otel.record_wait(
    otel.trace_context, pg_catalog.timestamptz, pg_catalog.text, pg_catalog.jsonb) IS
'Records how long an item waited, as a span in the item''s own trace. The span is a child of that
context, of kind consumer, lasts from since until now, and is linked to the innermost open span,
which processes the item. Records nothing when context or since is NULL, when the context is not
sampled, and when no recorded span is open.
context: the context of the item
since: when the item was created; a time in the future is moved to now, with a warning
name: NULL is "wait " and the name of the innermost open span
attributes: a JSON object';

CREATE PROCEDURE otel.trace_job(
    name        pg_catalog.text,
    statement   pg_catalog.text,
    links       otel.span_link[]  DEFAULT NULL,
    attributes  pg_catalog.jsonb  DEFAULT NULL,
    kind        pg_catalog.text   DEFAULT 'internal'
)
AS 'MODULE_PATHNAME', 'otel_trace_job' LANGUAGE C;
COMMENT ON PROCEDURE otel.trace_job(
    pg_catalog.text, pg_catalog.text, otel.span_link[], pg_catalog.jsonb, pg_catalog.text) IS
'Runs one or more statements within a span of its own. When one fails, the span is exported with
status error, the event exception, error.type and db.response.status_code, and the error is raised
unchanged. A procedure that it calls may commit, if trace_job itself is called outside a
transaction block. Rows are not returned.
name: the name of the span, not empty
statement: the SQL to run; raises null_value_not_allowed when NULL
links: as from otel.link_agg(); CALL takes no subquery, but it does take a function
attributes: a JSON object
kind: internal, server, client, producer or consumer';

CREATE TYPE otel.span_event AS (
    "time"                    pg_catalog.timestamptz,
    name                      pg_catalog.text,
    attributes                pg_catalog.jsonb,
    dropped_attributes_count  pg_catalog.int4
);
COMMENT ON TYPE otel.span_event IS
'an event of a span in the queue: time, name, attributes (a JSON object or NULL), and how many '
'attributes were dropped';

----------------------------------------------------------------------------------------------------
-- The queue
----------------------------------------------------------------------------------------------------

CREATE TYPE otel.packed_links;

CREATE FUNCTION otel.packed_links_in(pg_catalog.cstring) RETURNS otel.packed_links
AS 'MODULE_PATHNAME', 'otel_packed_links_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.packed_links_in(pg_catalog.cstring) IS
'text input of otel.packed_links: the JSON that packed_links_out() writes';

CREATE FUNCTION otel.packed_links_out(otel.packed_links) RETURNS pg_catalog.cstring
AS 'MODULE_PATHNAME', 'otel_packed_links_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.packed_links_out(otel.packed_links) IS
'text output of otel.packed_links: JSON in the form of otel.links_json()';

CREATE FUNCTION otel.packed_links_recv(pg_catalog.internal) RETURNS otel.packed_links
AS 'MODULE_PATHNAME', 'otel_packed_links_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.packed_links_recv(pg_catalog.internal) IS
'binary input of otel.packed_links: its text';

CREATE FUNCTION otel.packed_links_send(otel.packed_links) RETURNS pg_catalog.bytea
AS 'MODULE_PATHNAME', 'otel_packed_links_send' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.packed_links_send(otel.packed_links) IS
'binary output of otel.packed_links: its text';

CREATE TYPE otel.packed_links (
    INPUT = otel.packed_links_in,
    OUTPUT = otel.packed_links_out,
    RECEIVE = otel.packed_links_recv,
    SEND = otel.packed_links_send,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = pg_catalog.int4,
    STORAGE = extended
);
COMMENT ON TYPE otel.packed_links IS
'the links of a span in the queue, of 25 bytes each when they are only contexts; it also knows how '
'many attributes each of them lost and which lead to a span of the recording session itself';

CREATE FUNCTION otel.unpack_links(links otel.packed_links) RETURNS otel.span_link[]
AS 'MODULE_PATHNAME', 'otel_unpack_links' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.unpack_links(otel.packed_links) IS
'The links as an array. The cast does the same. NULL for NULL';

CREATE FUNCTION otel.pack_links(links otel.span_link[]) RETURNS otel.packed_links
AS 'MODULE_PATHNAME', 'otel_pack_links' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.pack_links(otel.span_link[]) IS
'The links of an array as the queue has them. The cast does the same. All count as remote, and
NULL elements and links without a context are left out. NULL for NULL; raises
invalid_parameter_value when attributes are neither NULL nor a JSON object';

-- Implicit, so that otel.span_links() and its like take the column as it is.
CREATE CAST (otel.packed_links AS otel.span_link[])
    WITH FUNCTION otel.unpack_links(otel.packed_links) AS IMPLICIT;
COMMENT ON CAST (otel.packed_links AS otel.span_link[]) IS 'the links as an array';
CREATE CAST (otel.span_link[] AS otel.packed_links)
    WITH FUNCTION otel.pack_links(otel.span_link[]) AS ASSIGNMENT;
COMMENT ON CAST (otel.span_link[] AS otel.packed_links) IS 'the links as the queue has them';
-- to_jsonb() and row_to_json() look for a cast to json.
CREATE FUNCTION otel.packed_links_json(links otel.packed_links) RETURNS pg_catalog.json
AS 'MODULE_PATHNAME', 'otel_packed_links_json' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.packed_links_json(otel.packed_links) IS
'The links as JSON, as the casts to json and jsonb give them. NULL for NULL';
CREATE CAST (otel.packed_links AS pg_catalog.json)
    WITH FUNCTION otel.packed_links_json(otel.packed_links);
COMMENT ON CAST (otel.packed_links AS pg_catalog.json) IS 'the same as the cast to jsonb';
CREATE CAST (otel.packed_links AS pg_catalog.jsonb) WITH INOUT;
COMMENT ON CAST (otel.packed_links AS pg_catalog.jsonb) IS
'the links in the form of otel.links_json(), which says of each whether it is remote, with '
'droppedAttributesCount where it is not 0';

-- No index on purpose: backends append with heap_insert, the exporter reads by TID
-- (src/queue/span_queue.c). Columns of fixed width come first, so that reading them needs no walk
-- over the others.
CREATE TABLE otel.span_queue (
    origin_system                   pg_catalog.int8         NOT NULL,
    start_time                      pg_catalog.timestamptz  NOT NULL,
    end_time                        pg_catalog.timestamptz  NOT NULL,
    origin_database                 pg_catalog.oid          NOT NULL,
    dropped_attributes_count        pg_catalog.int4         NOT NULL,
    dropped_events_count            pg_catalog.int4         NOT NULL,
    dropped_links_count             pg_catalog.int4         NOT NULL,
    kind                            pg_catalog.int2         NOT NULL,
    status_code                     pg_catalog.int2         NOT NULL,
    parent_is_remote                pg_catalog.bool         NOT NULL,
    context                         otel.trace_context      NOT NULL,
    parent_span_id                  pg_catalog.text COLLATE pg_catalog."C",
    name                            pg_catalog.text         NOT NULL,
    status_message                  pg_catalog.text,
    attributes                      pg_catalog.jsonb,
    events                          otel.span_event[],
    links                           otel.packed_links
) USING heap;
ALTER TABLE otel.span_queue REPLICA IDENTITY NOTHING;
REVOKE ALL ON otel.span_queue FROM PUBLIC;
COMMENT ON TABLE otel.span_queue IS
'finished spans waiting for the exporter, one column for each field of OTLP''s Span message';
COMMENT ON COLUMN otel.span_queue.origin_system IS
'system identifier of the server that recorded the span';
COMMENT ON COLUMN otel.span_queue.origin_database IS
'oid of the database that recorded the span; rows that came with a copied database are not '
'exported again';
COMMENT ON COLUMN otel.span_queue.kind
    IS 'SpanKind: 1 internal, 2 server, 3 client, 4 producer, 5 consumer';
COMMENT ON COLUMN otel.span_queue.status_code IS 'StatusCode: 0 unset, 1 ok, 2 error';
COMMENT ON COLUMN otel.span_queue.context
    IS 'the span''s own context: trace id, span id, flags and tracestate';
COMMENT ON COLUMN otel.span_queue.parent_is_remote IS
'whether the parent context came from another process';
COMMENT ON COLUMN otel.span_queue.links IS
'to be cast to otel.span_link[] or jsonb, which have the operators that it has not';

-- A sequence counts without a lock, and no rollback undoes it.
CREATE SEQUENCE otel.dropped_spans;
REVOKE ALL ON SEQUENCE otel.dropped_spans FROM PUBLIC;
COMMENT ON SEQUENCE otel.dropped_spans IS
'how many spans sessions dropped before they reached the queue, because it was full and nothing '
'exported it, or because the session could not write';

CREATE SEQUENCE otel.not_sampled_spans;
REVOKE ALL ON SEQUENCE otel.not_sampled_spans FROM PUBLIC;
COMMENT ON SEQUENCE otel.not_sampled_spans IS
'how many spans otel.traces_sampler left out, as far as sessions have reported';

-- The ids of links do not compress, so a row with the 128 links of a span stays in one piece: it is
-- read as a whole, and once. Two such rows are in a page.
DO $$
BEGIN
    EXECUTE pg_catalog.format('ALTER TABLE otel.span_queue SET (toast_tuple_target = %s)',
        pg_catalog.current_setting('block_size')::pg_catalog.int4
            OPERATOR(pg_catalog./) 2 OPERATOR(pg_catalog.-) 16);
END
$$;

-- Long values are repetitive, attributes above all: lz4 where the server has it.
DO $$
BEGIN
    ALTER TABLE otel.span_queue
        ALTER COLUMN attributes SET COMPRESSION lz4,
        ALTER COLUMN events SET COMPRESSION lz4,
        ALTER COLUMN links SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END
$$;

----------------------------------------------------------------------------------------------------
-- Export
----------------------------------------------------------------------------------------------------

-- Rows leave the queue by delete and insert, below the executor, so that logical decoding sees
-- none of it (src/queue/quiet_heap.h): these tables begin with the queue's columns.
CREATE TABLE otel.failed_spans (
    LIKE otel.span_queue INCLUDING COMMENTS INCLUDING COMPRESSION INCLUDING STORAGE,
    failed_at  pg_catalog.timestamptz  NOT NULL,
    error      pg_catalog.text         NOT NULL
) USING heap;
ALTER TABLE otel.failed_spans REPLICA IDENTITY NOTHING;
REVOKE ALL ON otel.failed_spans FROM PUBLIC;
COMMENT ON TABLE otel.failed_spans IS
'spans that could not be exported: refused by the collector, unreadable, or from a copied '
'database; otel.retry_failed() puts them back into the queue';
COMMENT ON COLUMN otel.failed_spans.failed_at IS 'when the span was set aside';
COMMENT ON COLUMN otel.failed_spans.error IS
'why it was set aside: usually the collector''s answer';

CREATE TABLE otel.exported_spans (
    LIKE otel.span_queue INCLUDING COMMENTS INCLUDING COMPRESSION INCLUDING STORAGE,
    exported_at  pg_catalog.timestamptz  NOT NULL
) USING heap;
ALTER TABLE otel.exported_spans REPLICA IDENTITY NOTHING;
REVOKE ALL ON otel.exported_spans FROM PUBLIC;
COMMENT ON TABLE otel.exported_spans IS 'exported spans, kept for otel.retention';
COMMENT ON COLUMN otel.exported_spans.exported_at IS 'when the collector accepted the span';

-- Autovacuum makes the room of exported spans usable again: after a fixed number of dead rows,
-- however large the table is, and without delay. It gathers no statistics, because nothing plans
-- with them, and does not truncate, because that takes a lock that keeps writers from appending.
DO $autovacuum$
DECLARE
    spans pg_catalog.text;
BEGIN
    FOREACH spans IN ARRAY ARRAY['span_queue', 'failed_spans', 'exported_spans'] LOOP
        EXECUTE pg_catalog.format('ALTER TABLE otel.%I SET (
            autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
            autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_threshold = 2147483647,
            vacuum_truncate = false,
            toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 20000,
            toast.autovacuum_vacuum_cost_delay = 0, toast.vacuum_truncate = false)', spans);
    END LOOP;
END
$autovacuum$;

-- One row for this database, written only by the exporter, from its first batch on. There may be
-- rows of other databases, which came with a subscription or a template.
CREATE TABLE otel.exporter_state (
    origin_system        pg_catalog.int8  NOT NULL,
    origin_database      pg_catalog.oid   NOT NULL,
    exported             pg_catalog.int8  NOT NULL,
    rejected             pg_catalog.int8  NOT NULL,
    dropped              pg_catalog.int8  NOT NULL,
    start_failures_seen  pg_catalog.int8  NOT NULL,
    last_success         pg_catalog.timestamptz,
    last_error_at        pg_catalog.timestamptz,
    last_error           pg_catalog.text
) USING heap;
ALTER TABLE otel.exporter_state REPLICA IDENTITY NOTHING;
ALTER TABLE otel.exporter_state SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
REVOKE ALL ON otel.exporter_state FROM PUBLIC;
COMMENT ON TABLE otel.exporter_state IS
'counters of the exporter; read them through otel.export_status';

CREATE SEQUENCE otel.exporter_start_failures;
REVOKE ALL ON otel.exporter_start_failures FROM PUBLIC;
COMMENT ON SEQUENCE otel.exporter_start_failures IS
'how often a session found no free background worker slot for the exporter';

-- Unlogged: after a crash nobody has a claim.
CREATE UNLOGGED SEQUENCE otel.exporter_starting MINVALUE 0 START 0;
REVOKE ALL ON otel.exporter_starting FROM PUBLIC;
COMMENT ON SEQUENCE otel.exporter_starting IS
'not a counter: when a session last requested an exporter that has not started yet, in '
'microseconds since 2000, or 0 (src/queue/start_claim.c)';

CREATE FUNCTION otel.force_flush(
    timeout_ms  pg_catalog.int4  DEFAULT 30000
) RETURNS pg_catalog.int8
AS 'MODULE_PATHNAME', 'otel_force_flush' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 1000;
COMMENT ON FUNCTION otel.force_flush(pg_catalog.int4) IS
'Waits until all spans committed before the call are exported. Returns how many were exported
meanwhile; NULL for NULL. Wakes the exporter, or starts it. Does not raise when the collector is
down; returns 0 at once on a standby and when otel.traces_exporter is none.
timeout_ms: how long to wait at most, in milliseconds';

CREATE FUNCTION otel.retry_failed() RETURNS pg_catalog.int8
AS 'MODULE_PATHNAME', 'otel_retry_failed' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000;
REVOKE EXECUTE ON FUNCTION otel.retry_failed() FROM PUBLIC;
COMMENT ON FUNCTION otel.retry_failed() IS
'Puts all of otel.failed_spans back into the queue and returns how many there were. Only for the
owner and roles that were granted EXECUTE';

CREATE FUNCTION otel.estimate_spans(
    table_name     pg_catalog.name,
    OUT spans      pg_catalog.int8,
    OUT bytes      pg_catalog.int8,
    OUT oldest     pg_catalog.timestamptz,
    OUT max_bytes  pg_catalog.int8
)
AS 'MODULE_PATHNAME', 'otel_estimate_spans' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION otel.estimate_spans(pg_catalog.name) IS
'How many spans a table holds, at a cost that does not grow with it. Exact while they are on at most
1,000 pages, and an estimate from as many pages otherwise. Anyone may call it.
table_name: span_queue, failed_spans or exported_spans; others raise invalid_parameter_value
spans: NULL when the table was altered so that it is not used; bytes and oldest are NULL then, too
bytes: of the rows of spans, without those that were deleted and wait for vacuum
oldest: the earliest end of a span, of those looked at; NULL when there is none
max_bytes: otel.queue_max_size, in bytes';

-- What a scrape reads: nothing in it grows with the backlog.
CREATE VIEW otel.export_metrics AS
    SELECT q.spans AS pending,
           q.bytes AS pending_bytes,
           q.max_bytes,
           pg_catalog.now() OPERATOR(pg_catalog.-) q.oldest AS oldest_age,
           pg_catalog.pg_table_size('otel.span_queue') AS queue_bytes,
           COALESCE(s.exported, 0) AS exported,
           f.spans AS failed,
           f.bytes AS failed_bytes,
           COALESCE(s.rejected, 0) AS rejected,
           COALESCE(s.dropped, 0) OPERATOR(pg_catalog.+)
               (SELECT CASE WHEN is_called THEN last_value ELSE 0 END
                  FROM otel.dropped_spans) AS dropped,
           (SELECT CASE WHEN is_called THEN last_value ELSE 0 END
              FROM otel.not_sampled_spans) AS not_sampled,
           s.last_success,
           s.last_error_at,
           s.last_error,
           e.pid IS NOT NULL AS exporter_running,
           e.pid AS exporter_pid,
           a.start_failures,
           a.start_failures OPERATOR(pg_catalog.>) COALESCE(s.start_failures_seen, 0)
               AS waits_for_slot
    FROM otel.estimate_spans('span_queue') q
    CROSS JOIN otel.estimate_spans('failed_spans') f
    CROSS JOIN (SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS start_failures
                FROM otel.exporter_start_failures) a
    LEFT JOIN otel.exporter_state s
        ON s.origin_system OPERATOR(pg_catalog.=)
               (SELECT c.system_identifier FROM pg_catalog.pg_control_system() c)
       AND s.origin_database OPERATOR(pg_catalog.=)
               (SELECT d.oid FROM pg_catalog.pg_database d
                WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
    LEFT JOIN (
        SELECT l.pid
        FROM pg_catalog.pg_locks l
        JOIN pg_catalog.pg_extension x ON x.oid OPERATOR(pg_catalog.=) l.objid
        JOIN pg_catalog.pg_database d ON d.oid OPERATOR(pg_catalog.=) l.database
        WHERE l.locktype OPERATOR(pg_catalog.=) 'object'
          AND l.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
          AND l.objsubid OPERATOR(pg_catalog.=) 1
          AND l.mode OPERATOR(pg_catalog.=) 'ExclusiveLock'
          AND l.granted
          AND x.extname OPERATOR(pg_catalog.=) 'otel_links'
          AND d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
    ) e ON true;
REVOKE ALL ON otel.export_metrics FROM PUBLIC;
GRANT SELECT ON otel.export_metrics TO pg_monitor;
COMMENT ON VIEW otel.export_metrics IS
'export status of this database for monitoring, one row: otel.export_status at a cost that does '
'not grow with the queue. The numbers of waiting and failed spans are exact while these are on at '
'most 1,000 pages, and estimates otherwise';
COMMENT ON COLUMN otel.export_metrics.pending IS 'spans in the queue';
COMMENT ON COLUMN otel.export_metrics.pending_bytes IS
'bytes of the pending spans, which otel.queue_max_size bounds';
COMMENT ON COLUMN otel.export_metrics.max_bytes IS
'otel.queue_max_size, in bytes: the bound of pending_bytes and of failed_bytes';
COMMENT ON COLUMN otel.export_metrics.oldest_age IS
'time since the oldest pending span ended; NULL when none is pending';
COMMENT ON COLUMN otel.export_metrics.queue_bytes IS
'size of the queue on disk, in bytes, with the room of exported spans';
COMMENT ON COLUMN otel.export_metrics.exported IS
'spans that a collector has accepted since the extension was created';
COMMENT ON COLUMN otel.export_metrics.failed IS 'spans in otel.failed_spans';
COMMENT ON COLUMN otel.export_metrics.failed_bytes IS 'bytes of the spans in otel.failed_spans';
COMMENT ON COLUMN otel.export_metrics.rejected IS
'spans that a collector rejected in a partial success';
COMMENT ON COLUMN otel.export_metrics.dropped IS
'spans dropped because the queue or otel.failed_spans was full (otel.queue_max_size), a session '
'could not write or a transaction rolled back queued spans; may be up to 32 too high after a crash';
COMMENT ON COLUMN otel.export_metrics.not_sampled IS
'spans that otel.traces_sampler left out; each session reports its own when it commits, at most '
'every ten seconds, and when it ends';
COMMENT ON COLUMN otel.export_metrics.last_success IS
'when a collector last accepted spans; NULL when none ever did';
COMMENT ON COLUMN otel.export_metrics.last_error_at IS
'when last_error happened; NULL when there was none';
COMMENT ON COLUMN otel.export_metrics.last_error IS
'the most recent error; it stays after recovery';
COMMENT ON COLUMN otel.export_metrics.exporter_running IS
'whether an exporter is running; it exits when idle';
COMMENT ON COLUMN otel.export_metrics.exporter_pid IS
'process id of the exporter; NULL when none is running';
COMMENT ON COLUMN otel.export_metrics.start_failures IS
'how often a session found no free background worker slot for the exporter';
COMMENT ON COLUMN otel.export_metrics.waits_for_slot IS
'whether a session has found none since an exporter last started';

CREATE VIEW otel.export_status AS
    SELECT q.pending,
           m.queue_bytes,
           pg_catalog.now() OPERATOR(pg_catalog.-) q.oldest AS oldest_age,
           m.exported,
           (SELECT pg_catalog.count(*) FROM otel.failed_spans) AS failed,
           m.rejected,
           m.dropped,
           m.not_sampled,
           m.last_success,
           m.last_error_at,
           m.last_error,
           m.exporter_running,
           m.exporter_pid,
           CASE
               WHEN m.exporter_running OR q.pending OPERATOR(pg_catalog.=) 0 THEN NULL
               WHEN pg_catalog.pg_is_in_recovery() THEN 'the server is a standby'
               WHEN pg_catalog.current_setting('otel.traces_exporter', true)
                        OPERATOR(pg_catalog.=) 'none'
                   THEN 'otel.traces_exporter is none'
               WHEN m.waits_for_slot
                   THEN 'no background worker slot was free: raise max_worker_processes'
               ELSE 'the next recorded span or otel.force_flush() starts it'
           END AS not_running_because
    FROM (SELECT pg_catalog.count(*) AS pending, pg_catalog.min(end_time) AS oldest
            FROM otel.span_queue) q
    CROSS JOIN otel.export_metrics m;
REVOKE ALL ON otel.export_status FROM PUBLIC;
GRANT SELECT ON otel.export_status TO pg_monitor;
COMMENT ON VIEW otel.export_status IS
'export status of this database, one row, exact: it counts the spans in the queue, while '
'otel.export_metrics, for monitoring, reads a bounded part of it';
COMMENT ON COLUMN otel.export_status.pending IS 'spans in the queue';
COMMENT ON COLUMN otel.export_status.queue_bytes IS
'size of the queue on disk, in bytes; vacuum makes the room of exported spans usable again';
COMMENT ON COLUMN otel.export_status.oldest_age IS
'time since the oldest pending span ended; NULL when none is pending';
COMMENT ON COLUMN otel.export_status.exported IS
'spans that a collector has accepted since the extension was created';
COMMENT ON COLUMN otel.export_status.failed IS 'spans in otel.failed_spans';
COMMENT ON COLUMN otel.export_status.rejected IS
'spans that a collector rejected in a partial success';
COMMENT ON COLUMN otel.export_status.dropped IS
'spans dropped because the queue or otel.failed_spans was full (otel.queue_max_size), a session '
'could not write or a transaction rolled back queued spans; may be up to 32 too high after a crash';
COMMENT ON COLUMN otel.export_status.not_sampled IS
'spans that otel.traces_sampler left out; each session reports its own when it commits, at most '
'every ten seconds, and when it ends';
COMMENT ON COLUMN otel.export_status.last_success IS
'when a collector last accepted spans; NULL when none ever did';
COMMENT ON COLUMN otel.export_status.last_error_at IS
'when last_error happened; NULL when there was none';
COMMENT ON COLUMN otel.export_status.last_error IS 'the most recent error; it stays after recovery';
COMMENT ON COLUMN otel.export_status.exporter_running IS
'whether an exporter is running; it exits when idle';
COMMENT ON COLUMN otel.export_status.exporter_pid IS
'process id of the exporter; NULL when none is running';
COMMENT ON COLUMN otel.export_status.not_running_because IS
'why no exporter is running although spans are pending; NULL otherwise';

----------------------------------------------------------------------------------------------------
-- Looking back
----------------------------------------------------------------------------------------------------

-- All with the caller's rights: a table that the caller may not read is left out.

CREATE FUNCTION otel.links_to(
    links     otel.span_link[],
    trace_id  pg_catalog.text
) RETURNS otel.span_link[]
AS 'MODULE_PATHNAME', 'otel_links_to' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.links_to(otel.span_link[], pg_catalog.text) IS
'Those of the links that lead to a trace, in their order. NULL when there are none, and for NULL.
links: as from otel.link_agg()
trace_id: raises invalid_text_representation when it is not a valid trace id';

CREATE FUNCTION otel.links_to(
    links     otel.packed_links,
    trace_id  pg_catalog.text
) RETURNS otel.span_link[]
AS 'MODULE_PATHNAME', 'otel_packed_links_to' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION otel.links_to(otel.packed_links, pg_catalog.text) IS
'The same for the links of a span in the queue.
links: the column of otel.span_queue
trace_id: raises invalid_text_representation when it is not a valid trace id';

CREATE FUNCTION otel.spans_around(
    trace_id            pg_catalog.text,
    since               pg_catalog.timestamptz  DEFAULT '-infinity',
    OUT state           pg_catalog.text,
    OUT context         otel.trace_context,
    OUT parent_span_id  pg_catalog.text,
    OUT name            pg_catalog.text,
    OUT start_time      pg_catalog.timestamptz,
    OUT end_time        pg_catalog.timestamptz,
    OUT status_code     pg_catalog.int2,
    OUT status_message  pg_catalog.text,
    OUT attributes      pg_catalog.jsonb,
    OUT links           otel.span_link[],
    OUT links_to_trace  otel.span_link[]
) RETURNS SETOF pg_catalog.record
LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 10000 ROWS 10
SET search_path = pg_catalog, pg_temp
AS $spans_around$
DECLARE
    spans text;
BEGIN
    PERFORM otel.links_to('{}'::otel.span_link[], $1);  -- raises when it is no trace id

    SELECT string_agg(
               format('SELECT %L AS state, context, '
                      'parent_span_id, name, start_time, end_time, status_code, status_message, '
                      'attributes, links FROM otel.%I',
                      t.state, t.name), ' UNION ALL ')
      INTO spans
      FROM (VALUES ('queued', 'span_queue'), ('failed', 'failed_spans'),
                   ('exported', 'exported_spans')) AS t (state, name)
     WHERE has_table_privilege('otel.' || t.name, 'SELECT');

    IF spans IS NOT NULL THEN
        RETURN QUERY EXECUTE format(
            'SELECT state, context, parent_span_id, name, start_time, end_time, status_code, '
            'status_message, attributes, s.links::otel.span_link[], otel.links_to(s.links, $1) '
            'FROM (%s) AS s '
            'WHERE s.end_time >= $2 '
            'AND (otel.trace_id(s.context) = $1 OR otel.links_to(s.links, $1) IS NOT NULL) '
            'ORDER BY s.start_time, otel.span_id(s.context)', spans)
            USING $1, $2;
    END IF;
END
$spans_around$;
COMMENT ON FUNCTION otel.spans_around(pg_catalog.text, pg_catalog.timestamptz) IS
'The spans of a trace and those that link to it, in order of their start. It reads the spans in the
queue, in otel.failed_spans and, while otel.retention keeps them, in otel.exported_spans, as far
as the caller may read these tables. otel.find_trace(), otel.linked_from() and otel.mermaid() are
made of it. No rows for NULL.
trace_id: raises invalid_text_representation when it is not a valid trace id
since: leaves out spans that ended earlier
state: queued, failed or exported
status_code: 0 unset, 1 ok, 2 error
links_to_trace: those of the links that lead to the trace; NULL when there are none';

CREATE FUNCTION otel.find_trace(
    trace_id     pg_catalog.text,
    since        pg_catalog.timestamptz  DEFAULT '-infinity',
    tables       pg_catalog.regclass[]   DEFAULT NULL,
    OUT what     pg_catalog.text,
    OUT place    pg_catalog.text,
    OUT context  otel.trace_context,
    OUT at       pg_catalog.timestamptz,
    OUT detail   pg_catalog.jsonb
) RETURNS SETOF pg_catalog.record
LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 100000 ROWS 10
SET search_path = pg_catalog, pg_temp
AS $find_trace$
DECLARE
    source record;
BEGIN
    PERFORM otel.links_to('{}'::otel.span_link[], $1);  -- raises when it is no trace id

    FOR source IN
        WITH RECURSIVE trigger_column (relation, name, path) AS (
            SELECT t.tgrelid, coalesce(a.arguments[1], 'trace_context'),
                   coalesce(a.arguments[3], '{}')
              FROM pg_trigger AS t, LATERAL (
                       -- in tgargs each argument is followed by a zero byte
                       SELECT array_agg(convert_from(decode(argument, 'escape'),
                                                     getdatabaseencoding()) ORDER BY n)
                         FROM string_to_table(encode(t.tgargs, 'escape'), '\000')
                              WITH ORDINALITY AS s (argument, n)
                        WHERE n <= t.tgnargs) AS a (arguments)
             WHERE t.tgfoid = 'otel.capture_trace_context()'::regprocedure
        ), candidate (relation, name, type, path) AS (
            SELECT c.oid, a.attname,
                   CASE y.typtype WHEN 'd' THEN y.typbasetype ELSE y.oid END::regtype, t.path
              FROM pg_class AS c
              JOIN pg_attribute AS a
                   ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
              JOIN pg_type AS y ON y.oid = a.atttypid
              LEFT JOIN trigger_column AS t ON t.relation = c.oid AND t.name = a.attname
             WHERE ('otel.trace_context'::regtype IN (y.oid, y.typbasetype) OR t.path IS NOT NULL)
               AND (c.relkind IN ('r', 'p', 'm') AND $3 IS NULL
                    OR c.relkind IN ('r', 'p', 'm', 'f', 'v') AND c.oid = ANY ($3))
               AND c.relispopulated
               AND c.relnamespace <> 'otel'::regnamespace
               AND NOT pg_is_other_temp_schema(c.relnamespace)
               -- policies run as the caller, who has not chosen to trust whoever wrote them
               AND ($3 IS NOT NULL OR NOT row_security_active(c.oid))
               AND has_schema_privilege(c.relnamespace, 'USAGE')
               AND has_column_privilege(c.oid, a.attnum, 'SELECT')
        ), ancestor (relation, parent) AS (
            SELECT inhrelid, inhparent FROM pg_inherits
            UNION
            SELECT a.relation, i.inhparent
              FROM ancestor AS a JOIN pg_inherits AS i ON i.inhrelid = a.parent
        )
        SELECT DISTINCT c.relation::regclass AS relation, c.name,
               CASE WHEN c.type IN ('text'::regtype, 'varchar'::regtype, 'json'::regtype)
                    THEN format('strpos(t.%I::text COLLATE "C", $1) > 0 AND', c.name)
                    END AS hint,
               CASE WHEN c.type = 'otel.trace_context'::regtype THEN format('t.%I', c.name)
                    ELSE format('otel.extract(t.%I%s)', c.name,
                                ', ' || quote_literal(nullif(c.path, '{}'))) END AS context,
               -- to_jsonb() looks for casts, which any owner of a type can make, and the caller may
               -- be a superuser; the output functions that format() calls are superusers' own
               (SELECT string_agg(
                           CASE WHEN CASE y.typtype WHEN 'd' THEN y.typbasetype
                                     ELSE y.oid END < 16384
                                THEN format('t.%I', a.attname)
                                ELSE format('CASE WHEN NOT t.%1$I IS NULL '
                                            'THEN format(''%%s'', t.%1$I) END AS %1$I', a.attname)
                                END, ', ' ORDER BY a.attnum)
                  FROM pg_attribute AS a JOIN pg_type AS y ON y.oid = a.atttypid
                 WHERE a.attrelid = c.relation AND a.attnum > 0 AND NOT a.attisdropped
                   AND has_column_privilege(c.relation, a.attnum, 'SELECT')) AS columns,
               -- views have no tableoid, and reading it needs the right to read the whole table
               (SELECT CASE WHEN relkind <> 'v' AND has_table_privilege(oid, 'SELECT')
                            THEN 't.tableoid::regclass' ELSE quote_literal(c.relation::regclass) END
                  FROM pg_class AS r WHERE r.oid = c.relation) AS place
          FROM candidate AS c
         WHERE NOT EXISTS (                     -- its rows are found with those of its parent
                   SELECT FROM ancestor AS a JOIN candidate AS p ON p.relation = a.parent
                    WHERE a.relation = c.relation AND p.name = c.name)
         ORDER BY 1, 2
    LOOP
        BEGIN
            RETURN QUERY EXECUTE format(
                'SELECT ''row'', %s || %L, %s::otel.trace_context, NULL::timestamptz, '
                'to_jsonb((SELECT r FROM (SELECT %s) AS r)) '
                'FROM %s AS t WHERE %s otel.trace_id(%3$s) = $1',
                source.place, '.' || quote_ident(source.name), source.context, source.columns,
                source.relation, source.hint)
                USING $1;
        EXCEPTION
            WHEN transaction_rollback THEN
                RAISE;
            WHEN OTHERS THEN                    -- a foreign server is down, a policy fails
                RAISE WARNING 'table % cannot be searched: %', source.relation, SQLERRM;
        END;
    END LOOP;

    RETURN QUERY
        SELECT CASE otel.trace_id(s.context) WHEN $1 THEN 'span' ELSE 'linked from' END, s.state,
               s.context, s.start_time,
               jsonb_strip_nulls(jsonb_build_object(
                   'name', s.name, 'end_time', s.end_time,
                   'status', CASE s.status_code WHEN 1 THEN 'ok' WHEN 2 THEN 'error' END,
                   'message', s.status_message, 'attributes', s.attributes,
                   'link_attributes', (
                       SELECT jsonb_agg(l.attributes) FROM unnest(s.links_to_trace) AS l
                        WHERE l.attributes IS NOT NULL)))
          FROM otel.spans_around($1, $2) AS s;
END
$find_trace$;
COMMENT ON FUNCTION otel.find_trace(pg_catalog.text, pg_catalog.timestamptz,
                                    pg_catalog.regclass[]) IS
'Finds a trace in this database: its rows, its spans and the spans that link to it. Searches
tables, partitioned tables and materialized views that have a column of type otel.trace_context or
one that the trigger otel.capture_trace_context() fills, and the spans that otel.spans_around()
reads. Works with the caller''s rights: tables and columns that the caller may not read are left
out. A table that cannot be searched is a warning. Uses a hash index on
otel.trace_id(trace_context) where there is one. No rows for NULL.
trace_id: raises invalid_text_representation when it is not a valid trace id
since: leaves out spans that ended earlier
tables: searches only these, which may include foreign tables, views, and tables whose row
security applies to the caller; NULL is all tables but these, and {} none
what: row, span (of the trace) or linked from (a span that links to the trace)
place: the table and column of a row; for a span queued, failed or exported
at: the start of a span; NULL for a row
detail: the columns of a row, those of user-defined types as text; name, end, status and
attributes of a span';

CREATE FUNCTION otel.linked_from(
    trace_id         pg_catalog.text,
    since            pg_catalog.timestamptz  DEFAULT '-infinity',
    OUT context      otel.trace_context,
    OUT name         pg_catalog.text,
    OUT state        pg_catalog.text,
    OUT start_time   pg_catalog.timestamptz,
    OUT end_time     pg_catalog.timestamptz,
    OUT status_code  pg_catalog.int2,
    OUT links        otel.span_link[],
    OUT attributes   pg_catalog.jsonb
) RETURNS SETOF pg_catalog.record
LANGUAGE sql STABLE PARALLEL UNSAFE COST 10000 ROWS 10
BEGIN ATOMIC
    SELECT s.context, s.name, s.state, s.start_time, s.end_time, s.status_code, s.links_to_trace,
           s.attributes
      FROM otel.spans_around(linked_from.trace_id, linked_from.since) AS s
     WHERE s.links_to_trace IS NOT NULL;
END;
COMMENT ON FUNCTION otel.linked_from(pg_catalog.text, pg_catalog.timestamptz) IS
'The spans that link to a trace, in order of their start: the batches that worked for a request.
Scans the spans that otel.spans_around() reads. No rows for NULL.
trace_id: raises invalid_text_representation when it is not a valid trace id
since: leaves out spans that ended earlier, which are skipped fast
state: queued, failed or exported
status_code: 0 unset, 1 ok, 2 error
links: those of its links that lead to the trace';

CREATE FUNCTION otel.mermaid(
    context    otel.trace_context,
    max_links  pg_catalog.int4  DEFAULT 10
) RETURNS pg_catalog.text
LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 10000
SET search_path = pg_catalog, pg_temp
AS $mermaid$
DECLARE
    -- Mermaid refuses 500 edges and 50,000 characters.
    max_edges     CONSTANT int := 400;
    max_size      CONSTANT int := 47000;
    max_spans     CONSTANT int := 50;           -- of the trace itself
    max_linking   CONSTANT int := 100;          -- of the spans that link to it
    links_a_span  CONSTANT int := coalesce($2, 10);
    trace         CONSTANT text := otel.trace_id($1);
    focus         CONSTANT text := trace || otel.span_id($1);
BEGIN
    IF links_a_span < 0 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'max_links must not be negative';
    END IF;
    IF $1 IS NULL THEN
        RETURN NULL;
    END IF;

    RETURN (
    -- a key is a trace id and a span id
    WITH found AS MATERIALIZED (
        SELECT k.key, left(k.key, 32) || s.parent_span_id AS parent, left(k.key, 32) = trace AS own,
               s.name, s.start_time, s.status_code, s.links, s.links_to_trace,
               row_number() OVER (
                   PARTITION BY left(k.key, 32) = trace
                   ORDER BY k.key <> focus,
                            NOT EXISTS (SELECT FROM unnest(s.links_to_trace) AS l
                                         WHERE otel.span_id(l.context) = otel.span_id($1)),
                            s.start_time, k.key) AS n
          FROM otel.spans_around(trace) AS s,
               LATERAL (SELECT otel.trace_id(s.context) || otel.span_id(s.context)) AS k (key)
    ), drawn AS MATERIALIZED (
        SELECT f.*, l.label
          FROM found AS f, LATERAL (
                   -- punctuation as entities, so that no name can be taken for syntax
                   SELECT string_agg(
                              CASE WHEN octet_length(c) > 1 OR c ~ '[A-Za-z0-9 _/-]' THEN c
                                   WHEN ascii(c) < 32 OR ascii(c) = 127 THEN ' '
                                   WHEN ascii(c) > 127 THEN c
                                   ELSE '#' || ascii(c) || ';' END, '' ORDER BY i)
                     FROM string_to_table(CASE WHEN length(f.name) > 40
                                               THEN left(f.name, 37) || '...' ELSE f.name END, NULL)
                          WITH ORDINALITY AS t (c, i)) AS l (label)
         WHERE n <= CASE WHEN own THEN max_spans ELSE least(links_a_span, max_linking) END
    ), link AS MATERIALIZED (
        SELECT d.key AS source, otel.trace_id(l.context) || otel.span_id(l.context) AS target,
               '-.->' AS arrow, min(l.n) AS rank
          FROM drawn AS d, unnest(CASE WHEN d.own THEN d.links ELSE d.links_to_trace END)
                           WITH ORDINALITY AS l (context, attributes, n)
         WHERE l.n <= links_a_span
         GROUP BY 1, 2
    ), edge AS (
        SELECT * FROM link
        UNION ALL
        SELECT d.parent, d.key, '-->', 0
          FROM drawn AS d
         WHERE d.parent IN (SELECT focus UNION SELECT key FROM drawn UNION SELECT target FROM link)
    ), room AS MATERIALIZED (
        SELECT max_edges - count(*) FILTER (
                   WHERE cardinality(CASE WHEN own THEN links ELSE links_to_trace END)
                         > links_a_span
                      OR NOT own AND cardinality(links) > cardinality(links_to_trace)) AS edges,
               max_size - coalesce(sum(length(label) + CASE WHEN own THEN 50 ELSE 140 END), 0)
                   AS size
          FROM drawn
    ), kept AS MATERIALIZED (
        SELECT e.source, e.target, e.arrow
          FROM (SELECT *, row_number() OVER in_order AS n,
                       sum(CASE WHEN target IN (SELECT key FROM drawn) THEN 20 ELSE 150 END)
                           OVER in_order AS size
                  FROM edge
                WINDOW in_order AS (ORDER BY rank, source <> focus, source, target)) AS e, room AS r
         WHERE e.n <= r.edges AND e.size <= r.size
    ), node AS (
        SELECT k.key, coalesce(d.label, 'span ' || right(k.key, 16)) AS label, d.status_code,
               row_number() OVER (ORDER BY left(k.key, 32) <> trace, left(k.key, 32),
                                           d.start_time NULLS FIRST, k.key) AS n,
               dense_rank() OVER (ORDER BY left(k.key, 32) <> trace, left(k.key, 32)) AS box
          FROM (SELECT focus UNION SELECT key FROM drawn
                UNION SELECT source FROM kept UNION SELECT target FROM kept) AS k (key)
          LEFT JOIN drawn AS d USING (key)
    ), more AS (
        SELECT s.n, cardinality(d.links) - count(k.target) AS links
          FROM drawn AS d
          JOIN node AS s USING (key)
          LEFT JOIN kept AS k ON k.source = d.key AND k.arrow = '-.->'
         GROUP BY s.n, d.links
        HAVING cardinality(d.links) > count(k.target)
         ORDER BY 2 DESC
         LIMIT max_edges - (SELECT count(*) FROM kept)
    )
    SELECT concat_ws(E'\n',
        'flowchart LR',
        (SELECT string_agg(b.text, E'\n' ORDER BY b.box)
           FROM (SELECT box, format(
                            E'    subgraph t%s["trace %s"]\n%s\n    end', box, left(key, 32),
                            string_agg(format('        n%s["%s"]', n, label), E'\n' ORDER BY n))
                   FROM node GROUP BY box, left(key, 32)) AS b (box, text)),
        (SELECT string_agg(format('    n%s %s n%s', s.n, k.arrow, t.n), E'\n'
                           ORDER BY s.n, k.arrow, t.n)
           FROM kept AS k JOIN node AS s ON s.key = k.source JOIN node AS t ON t.key = k.target),
        (SELECT string_agg(format('    n%s -.-> more%1$s(["%s more %s"])', n, links,
                                  CASE links WHEN 1 THEN 'link' ELSE 'links' END), E'\n' ORDER BY n)
           FROM more),
        (SELECT format('    rest(["not drawn: %s"])',
                       string_agg(format('%s more %s', n, what), ', ' ORDER BY what))
           FROM (SELECT count(*), CASE WHEN own THEN 'of the trace' ELSE 'that link to it' END
                   FROM found WHERE key NOT IN (SELECT key FROM drawn)
                  GROUP BY own) AS r (n, what)
         HAVING count(*) > 0),
        '    classDef focus stroke-width:3px',
        '    classDef failed stroke:#c00',
        (SELECT format('    class n%s focus', n) FROM node WHERE key = focus),
        (SELECT format('    class %s failed', string_agg('n' || n, ',' ORDER BY n))
           FROM node WHERE status_code = 2 HAVING count(*) > 0)));
END
$mermaid$;
COMMENT ON FUNCTION otel.mermaid(otel.trace_context, pg_catalog.int4) IS
'A Mermaid flowchart of a span, its trace and the links around it. Solid arrows go from parent to
child, dotted ones from the span that has a link to the linked one. Never draws more than 400
arrows, and says how many links and spans it left out. Shows the spans that otel.spans_around()
reads; any other span is shown by its id. NULL for NULL.
max_links: at most this many links of each span, and this many spans that link to the trace; NULL
is 10; raises invalid_parameter_value when negative';

----------------------------------------------------------------------------------------------------
-- Array types
----------------------------------------------------------------------------------------------------

-- PostgreSQL 17 makes the array type of a member a member as well. postgres_fdw ships a function
-- only when its result type belongs to an extension of the server, and otel.link_agg() returns an
-- array.
DO $array_types$
DECLARE
    array_type pg_catalog.regtype;
BEGIN
    FOR array_type IN
        SELECT t.typarray FROM pg_catalog.pg_type t
         WHERE t.oid OPERATOR(pg_catalog.=) ANY (ARRAY['otel.trace_context'::pg_catalog.regtype,
                   'otel.span_link'::pg_catalog.regtype, 'otel.span_event'::pg_catalog.regtype,
                   'otel.packed_links'::pg_catalog.regtype])
           AND NOT EXISTS (
               SELECT FROM pg_catalog.pg_depend d
                WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass
                  AND d.objid OPERATOR(pg_catalog.=) t.typarray
                  AND d.deptype OPERATOR(pg_catalog.=) 'e'::pg_catalog."char")
    LOOP
        EXECUTE pg_catalog.format('ALTER EXTENSION otel_links ADD TYPE %s', array_type);
    END LOOP;
END
$array_types$;
