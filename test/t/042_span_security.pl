# Any role may record spans, no role reads those of others, and nothing that a role may create
# changes what is written or runs while it is.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "otel.traces_exporter = none\n");
$node->start;
$node->safe_psql('postgres', q{
	CREATE ROLE mallory LOGIN;
	CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
	CREATE DATABASE taken;
	GRANT CREATE ON DATABASE taken TO mallory;
	CREATE DATABASE shop;
	GRANT CREATE ON DATABASE shop TO mallory;
});

sub as_mallory
{
	my ($database, $sql) = @_;
	my ($status, $out, $err) = $node->psql($database, $sql, extra_params => [ '-U', 'mallory' ]);
	return ($status, $out, $err);
}

# ---- installation ----
as_mallory('taken', 'CREATE SCHEMA otel; CREATE TABLE otel.mine ()');
my ($status, undef, $error) = $node->psql('taken', 'CREATE EXTENSION otel_links');
like($error, qr/ERROR:  schema "otel" already exists/,
	'CREATE EXTENSION fails where a user owns a schema of that name');
is($node->safe_psql('taken', q{SELECT count(*) FROM pg_extension WHERE extname = 'otel_links'}),
	'0',
	'a CREATE EXTENSION that fails leaves nothing');
is($node->safe_psql('taken',
	q{SELECT nspowner::regrole, (SELECT count(*) FROM pg_class WHERE relnamespace = n.oid)
	FROM pg_namespace n WHERE nspname = 'otel'}),
	'mallory|1', 'a CREATE EXTENSION that fails leaves the user\'s schema as it was');
(undef, undef, $error) = as_mallory('shop', 'CREATE EXTENSION otel_links');
like($error, qr/permission denied to create extension/, 'only superusers install the extension');

$node->safe_psql('shop', 'CREATE EXTENSION otel_links');
(undef, undef, $error) = as_mallory('shop', 'CREATE TABLE otel.mine ()');
like($error, qr/permission denied for schema otel/, 'other roles create nothing in its schema');

# ---- privileges ----
($status, undef, $error) = as_mallory('shop', q{SELECT otel.record_span('by a role', now())});
is($status . $error, '0', 'any role may record spans');
is($node->safe_psql('shop', 'SELECT name FROM otel.span_queue'), 'by a role',
	'spans of any role are queued');
for my $statement ('SELECT * FROM otel.span_queue', q{UPDATE otel.span_queue SET name = 'x'},
	'DELETE FROM otel.span_queue', 'TRUNCATE otel.span_queue',
	'INSERT INTO otel.span_queue SELECT', 'BEGIN; LOCK TABLE otel.span_queue IN ACCESS SHARE MODE',
		'COPY otel.span_queue TO STDOUT',
	q{SELECT nextval('otel.dropped_spans')}, q{SELECT setval('otel.dropped_spans', 1)})
{
	(undef, undef, $error) = as_mallory('shop', $statement);
	like($error, qr/permission denied for (table span_queue|sequence dropped_spans)/,
		"no other role may: $statement");
}
(undef, undef, $error) = $node->psql('shop', 'SELECT * FROM otel.span_queue',
	extra_params => [ '-U', 'monitor' ]);
like($error, qr/permission denied for table span_queue/, 'pg_monitor may not read the queue');
$node->safe_psql('shop',
	q{REVOKE EXECUTE ON FUNCTION otel.record_span FROM PUBLIC;
	REVOKE EXECUTE ON PROCEDURE otel.trace_job FROM PUBLIC});
(undef, undef, $error) = as_mallory('shop', q{SELECT otel.record_span('revoked', now())});
like($error, qr/permission denied for function record_span/,
	'EXECUTE on record_span can be revoked');
(undef, undef, $error) = as_mallory('shop', q{CALL otel.trace_job('revoked', 'SELECT 1')});
like($error, qr/permission denied for procedure trace_job/, 'EXECUTE on trace_job can be revoked');
$node->safe_psql('shop',
	q{GRANT EXECUTE ON FUNCTION otel.record_span TO PUBLIC;
	GRANT EXECUTE ON PROCEDURE otel.trace_job TO PUBLIC; TRUNCATE otel.span_queue});
(undef, undef, $error) = as_mallory('shop',
	q{CALL otel.trace_job('not mine', 'DELETE FROM otel.span_queue')});
like($error, qr/permission denied for table span_queue/,
	'a job runs with the privileges of its caller');
$node->poll_query_until('shop',			# its session may still be ending
	q{SELECT count(*) = 1 FROM otel.span_queue WHERE name = 'not mine'});
$node->safe_psql('shop', 'TRUNCATE otel.span_queue');

# ---- objects that pose as others ----
# Everything of the extension and of pg_catalog that writing a span might find by name is there
# again, in a schema and in temporary tables that come first; each tells when it is used.
as_mallory('shop', q{
	CREATE SCHEMA evil;
	CREATE TABLE evil.caught (what text);
	CREATE FUNCTION evil.catch(text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
		BEGIN INSERT INTO evil.caught VALUES ($1); RETURN $1; END $$;
	CREATE FUNCTION evil.jsonb_concat(jsonb, jsonb) RETURNS jsonb LANGUAGE sql AS $$
		SELECT evil.catch('jsonb_concat'); SELECT '{}'::jsonb $$;
	CREATE OPERATOR evil.|| (FUNCTION = evil.jsonb_concat, LEFTARG = jsonb, RIGHTARG = jsonb);
	CREATE FUNCTION evil.coalesce(jsonb, jsonb) RETURNS jsonb LANGUAGE sql AS $$
		SELECT evil.catch('coalesce'); SELECT '{}'::jsonb $$;
	CREATE FUNCTION evil.jsonb_object(text[]) RETURNS jsonb LANGUAGE sql AS $$
		SELECT evil.catch('jsonb_object'); SELECT '{}'::jsonb $$;
	CREATE FUNCTION evil.start_span(text) RETURNS text LANGUAGE sql AS $$
		SELECT evil.catch('start_span') $$;
	CREATE FUNCTION evil.nextval(regclass) RETURNS bigint LANGUAGE sql AS $$
		SELECT evil.catch('nextval'); SELECT 1::bigint $$;
	CREATE TYPE evil.span_link AS (context int, attributes int);
	CREATE TYPE evil.span_event AS (time int);
	CREATE TYPE evil.trace_context AS (a int);
	CREATE DOMAIN evil.text AS pg_catalog.text CHECK (evil.catch('text') IS NULL);
	CREATE DOMAIN evil.jsonb AS pg_catalog.jsonb CHECK (evil.catch('jsonb') IS NULL);
	CREATE TABLE evil.span_queue (LIKE pg_catalog.pg_class);
	CREATE SEQUENCE evil.dropped_spans;
	CREATE TABLE evil.pg_extension (extname text);
	ALTER ROLE mallory SET search_path = evil, pg_catalog, otel;
});
($status, undef, $error) = as_mallory('shop', q{
	CREATE TEMPORARY TABLE span_queue (name text);
	CREATE TEMPORARY TABLE pg_class (name text);
	SET otel.span_link_count_limit = 1;
	SET otel.link_overflow = split;
	BEGIN;
	SELECT otel.start_span('honest', attributes => '{"a": 1}', links => ARRAY[
		otel.span_link('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', '{"b": 1}'),
		otel.span_link('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b8-01')]);
	SELECT otel.add_event('event', '{"c": 1}');
	SELECT otel.record_exception('22012', 'x', attributes => '{"d": 1}');
	SELECT otel.set_attributes('{"e": 1}');
	SELECT otel.end_span();
	COMMIT;
	CALL otel.trace_job('honest job', 'SELECT 1');
});
is($status . $error, '0', 'objects that pose as others raise no error');
is($node->safe_psql('shop', 'SELECT count(*) FROM evil.caught'), '0',
	'objects that pose as others are not used');
is($node->safe_psql('shop',
	q{SELECT string_agg(format('%s %s %s %s', name, attributes, cardinality(events),
	cardinality(links::otel.span_link[])), ', ' ORDER BY ctid) FROM otel.span_queue}),
	'honest {"a": 1, "e": 1, "otel_links.part.count": 2, "otel_links.part.index": 1} 2 1, '
	  . 'honest (links, part 2 of 2) {"otel_links.part.count": 2, "otel_links.part.index": 2}  1, '
	  . 'honest job   ',
	'spans are written right beside objects that pose as others');
$node->safe_psql('shop', 'TRUNCATE otel.span_queue');

# triggers and rules are the owner's to make, and are not run
$node->safe_psql('shop', q{
	CREATE FUNCTION public.fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE
		EXCEPTION 'fails'; END $$;
	CREATE TRIGGER fails BEFORE INSERT ON otel.span_queue FOR EACH ROW
		EXECUTE FUNCTION public.fails();
});
($status, undef, $error) = as_mallory('shop', q{SELECT otel.record_span('no trigger', now())});
is($status . $error, '0', 'a trigger on the queue stops no commit');
is($node->safe_psql('shop', 'SELECT name FROM otel.span_queue'), 'no trigger',
	'a trigger on the queue stops no span');

# ---- looking back runs nobody else's code ----
($status, undef, $error) = as_mallory('shop', q{
	CREATE TYPE evil.mood AS ENUM ('ok');
	CREATE TYPE evil.pair AS (mood evil.mood, note pg_catalog.text);
	CREATE FUNCTION evil.cast_mood(evil.mood) RETURNS json LANGUAGE plpgsql AS $$
		BEGIN INSERT INTO evil.caught VALUES (current_user); RETURN '1'; END $$;
	CREATE CAST (evil.mood AS json) WITH FUNCTION evil.cast_mood(evil.mood);
	CREATE TABLE evil.bait (id int, context otel.trace_context, mood evil.mood,
		moods evil.mood[], pair evil.pair, nothing evil.mood);
	INSERT INTO evil.bait VALUES (7, '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
		'ok', '{ok}', '(ok,x)', NULL)});
is($status . $error, '0', 'a role that may create things puts out a bait');
is($node->safe_psql('shop', q{SELECT detail - 'context'
	FROM otel.find_trace('4bf92f3577b34da6a3ce929d0e0e4736', tables => '{evil.bait}')}),
	'{"id": 7, "mood": "ok", "pair": "(ok,x)", "moods": "{ok}", "nothing": null}',
	'otel.find_trace() shows columns of types that are not built in as text');
is($node->safe_psql('shop', 'SELECT count(*) FROM evil.caught'), '0',
	'otel.find_trace() does not run a cast that the owner of a type made');

$node->stop;
done_testing();
