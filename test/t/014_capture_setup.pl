# otel.add_trace_context() and otel.capture_into() where more than one session or server is needed:
# locks, foreign tables, dump and restore, and tables that come later.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Session;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', 'otel.traces_exporter = none');
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION otel_links;
	CREATE TABLE jobs (id int, data jsonb);
});
my $tp = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
my $comment = "/*traceparent='$tp'*/";

# The text of the SQL block in a page that this comment marks.
sub doc_block
{
	my ($page, $id) = @_;
	my ($block) = slurp_file("$ENV{TESTDIR}/docs/$page")
		=~ /<!-- run: \Q$id\E -->\n```sql\n(.*?)```/s;
	return $block // die "no block $id in docs/$page";
}

# ---- locks ----
my $reader = Session->new($node, 'postgres');
$reader->ask('BEGIN; SELECT count(*) FROM jobs');
my ($status, undef, $error) = $node->psql('postgres',
	q{SET lock_timeout = '50ms'; SELECT otel.add_trace_context('jobs')});
like($error, qr/canceling statement due to lock timeout/,
	'a column waits for readers no longer than lock_timeout');
is($node->safe_psql('postgres',
	q{SELECT count(*) FROM pg_attribute WHERE attrelid = 'jobs'::regclass AND attnum > 0}), '2',
	'a capture column that met lock_timeout leaves nothing behind');
$node->safe_psql('postgres', q{SET lock_timeout = '10s'; SELECT otel.capture_into('jobs', 'data')});
pass('a trigger waits for no reader');
$reader->ask('COMMIT');
$node->safe_psql('postgres', q{SELECT otel.add_trace_context('jobs')});
$reader->ask('BEGIN; SELECT count(*) FROM jobs');
$node->safe_psql('postgres', q{SET lock_timeout = '10s'; SELECT otel.add_trace_context('jobs')});
pass('a call that finds nothing to do takes no lock that readers or writers hold up');
$reader->ask('COMMIT');
$reader->quit;

# two at once
$node->safe_psql('postgres', 'CREATE TABLE twice (id int)');
my $first = Session->new($node, 'postgres');
$first->ask(q{BEGIN; SELECT otel.add_trace_context('twice')});
my $second = Session->new($node, 'postgres');
$second->tell(q{SELECT otel.add_trace_context('twice')});
$node->poll_query_until('postgres',
	q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'})
  or die 'nobody waits';
$first->ask('COMMIT');
$second->answer;
unlike($second->told, qr/ERROR/, 'the second of two calls at the same time does not fail');
$first->quit;
$second->quit;
is($node->safe_psql('postgres',
	q{SELECT count(*) FROM pg_attribute WHERE attrelid = 'twice'::regclass AND attnum > 0}), '2',
	'of two calls at the same time one adds the column, and neither deadlocks');

# ---- foreign tables ----
SKIP:
{
	skip 'this server has no postgres_fdw', 4
	  if $node->safe_psql('postgres',
		q{SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'}) eq '0';
	$node->safe_psql('postgres', 'CREATE DATABASE shard');
	$node->safe_psql('shard', q{
		CREATE EXTENSION otel_links;
		CREATE TABLE jobs (id int, data jsonb, trace_context otel.trace_context);
		CREATE TABLE part (k int, trace_context otel.trace_context, data jsonb);
	});
	my ($host, $port) = ($node->host, $node->port);
	$node->safe_psql('postgres', qq{
		CREATE EXTENSION postgres_fdw;
		CREATE SERVER shard FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port',
			dbname 'shard');
		CREATE USER MAPPING FOR CURRENT_USER SERVER shard;
		CREATE FOREIGN TABLE far (id int, data jsonb) SERVER shard OPTIONS (table_name 'jobs');
	});
	(undef, undef, $error) = $node->psql('postgres', q{SELECT otel.add_trace_context('far')});
	like($error,
		qr/NOTICE:[ ]{2}"far"[ ]is[ ]a[ ]foreign[ ]table\n
			HINT:[ ]{2}Add[ ]the[ ]column[ ]"trace_context"[ ]to[ ]the[ ]remote[ ]table/x,
		'a foreign table gets the column, and a notice names what the remote one needs');
	$node->safe_psql('postgres', q{SELECT otel.capture_into('far', 'data')});
	$node->safe_psql('postgres', "INSERT INTO far (id) VALUES (1) $comment");
	is($node->safe_psql('shard', 'SELECT trace_context, otel.extract(data) FROM jobs'),
		"$tp|$tp",
		'rows of a foreign table have the context of the statement here, by default and trigger');
	$node->safe_psql('postgres', q{
		CREATE TABLE parts (k int, data jsonb) PARTITION BY LIST (k);
		SELECT otel.add_trace_context('parts');
		CREATE FOREIGN TABLE part PARTITION OF parts FOR VALUES IN (1) SERVER shard;
		SELECT otel.capture_into('parts', 'data');
	});
	$node->safe_psql('postgres', "INSERT INTO parts (k) VALUES (1) $comment");
	is($node->safe_psql('shard', 'SELECT trace_context, otel.extract(data) FROM part'),
		"$tp|$tp",
		'rows of a partition that is a foreign table have their context');
	$node->safe_psql('postgres', "COPY parts (k) FROM STDIN $comment;\n1\n\\.\n");
	is( $node->safe_psql(
			'shard', 'SELECT count(trace_context), count(otel.extract(data)) FROM part'),
		'2|2', 'COPY too');
}

# ---- dump and restore ----
$node->safe_psql('postgres', q{
	CREATE TABLE forms (id int, payload json);
	SELECT otel.add_trace_context('forms'), otel.add_trace_context('forms', 'tp', 'text'),
	       otel.add_trace_context('forms', 'vc', 'varchar'),
	         otel.add_trace_context('forms', 'carrier', 'jsonb');
	SELECT otel.capture_into('forms', 'payload', 'replace', '{a,"b c"}', '{id}');
	CREATE DATABASE restored TEMPLATE template0;
});
my $dump = PostgreSQL::Test::Utils::tempdir . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-t', 'forms', '-t', 'parts', '-t', 'twice', '-f', $dump,
	$node->connstr('postgres') ],
	'pg_dump');
$node->safe_psql('restored', 'CREATE EXTENSION otel_links');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), $dump ],
	'pg_restore');
$node->safe_psql('restored', "INSERT INTO forms (id) VALUES (1) $comment");
is($node->safe_psql('restored',
	q{SELECT trace_context, tp, vc, otel.extract(carrier), otel.extract(payload, '{a,"b c"}')
	FROM forms}),
	join('|', ($tp) x 5), 'every form of capture works in a restored database');
$node->safe_psql('restored', q{
	SELECT otel.add_trace_context('forms', 'tp', 'text'),
		otel.add_trace_context('forms', 'vc', 'varchar'),
	       otel.add_trace_context('forms', 'carrier', 'jsonb'),
	         otel.capture_into('forms', 'payload');
	SELECT otel.remove_capture('forms', c)
		FROM unnest('{trace_context,tp,vc,carrier,payload}'::name[]) c;
});
is($node->safe_psql('restored',
	q{SELECT (SELECT count(*) FROM pg_attrdef WHERE adrelid = 'forms'::regclass)
	+ (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'forms'::regclass)}), '0',
	'remove_capture() knows the triggers of partitions as ours and removes them');

# ---- tables that come later ----
$node->safe_psql('postgres',
	'CREATE SCHEMA pgmq; ' . doc_block('queues.md', 'tables-that-come-later'));
$node->safe_psql('postgres', q{
	CREATE ROLE app LOGIN;
	GRANT CREATE, USAGE ON SCHEMA pgmq TO app;
	SET ROLE app;
	CREATE TABLE IF NOT EXISTS pgmq.q_mail (msg_id bigint GENERATED ALWAYS AS IDENTITY,
		message jsonb, headers jsonb);
	CREATE TABLE pgmq.a_mail (LIKE pgmq.q_mail);
	CREATE TABLE pgmq.other (headers jsonb);
});
$node->safe_psql('postgres', "INSERT INTO pgmq.q_mail (message) VALUES ('{}') $comment");
is($node->safe_psql('postgres', 'SELECT otel.extract(headers) FROM pgmq.q_mail'), $tp,
	'a table that is made later is captured into, whoever made it');
is($node->safe_psql('postgres', q{SELECT string_agg(tgrelid::regclass::text, ' ') FROM pg_trigger
	WHERE tgname LIKE 'otel%' AND tgrelid::regclass::text LIKE 'pgmq%'}), 'pgmq.q_mail',
		'a table whose name does not match gets no trigger');
($status, undef, $error) = $node->psql('postgres', 'CREATE TABLE pgmq.q_old (msg_id bigint)');
is($status, 0, 'a table that lacks the column is created all the same');
like($error,
	qr/WARNING:[ ]{2}no[ ]trace[ ]contexts[ ]in[ ]pgmq\.q_old:
		[ ]column[ ]"headers"[ ]of[ ]table[ ]"q_old"[ ]does[ ]not[ ]exist/x,
	'a table that lacks the column is created with a warning');

$node->stop;
done_testing();
