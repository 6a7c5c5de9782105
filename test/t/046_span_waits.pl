# Waits (otel.record_wait) and what becomes of their transaction and session: a wait tells of its
# batch whether that was rolled back, and reaches the queue whatever the session does next.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use lib 'test/t';
use Session;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf',
	"otel.traces_exporter = none\nmax_prepared_transactions = 2\n");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION otel_links;
	CREATE TABLE items (id int, trace_context otel.trace_context, created_at timestamptz);
	INSERT INTO items
	SELECT i, otel.from_ids(md5('t' || i), left(md5('s' || i), 16), 1), now() - interval '1 minute'
	  FROM generate_series(1, 3) i;
});

# what is in the queue, each kind of row once; empties it
sub queued
{
	my $rows = $node->safe_psql('postgres', q{
		SELECT string_agg(concat_ws(' ', times || 'x', name, status_code, status_message), ', '
		                  ORDER BY name)
		  FROM (SELECT count(*) AS times, name, status_code, status_message
		          FROM otel.span_queue GROUP BY 2, 3, 4) q});
	$node->safe_psql('postgres', 'TRUNCATE otel.span_queue');
	return $rows;
}

my $batch = q{SELECT otel.start_span('batch', root => true) IS NOT NULL;
	SELECT otel.record_wait(trace_context, created_at) FROM items};
my $session = Session->new($node, 'postgres');

# ---- transactions ----
$session->ask("BEGIN; $batch; SELECT otel.end_span(); COMMIT");
is(queued(), '1x batch 0, 3x wait batch 0', 'waits are queued with their batch');

$session->ask("BEGIN; $batch; SELECT otel.end_span('ok'); ROLLBACK");
is(queued(), '', 'waits of a batch that is rolled back are not queued by its transaction');
$session->ask('SELECT 1');
is( queued(),
	'1x batch 2 transaction rolled back, 3x wait batch 2 transaction rolled back',
	'waits of a rolled-back batch are queued by the next transaction, with status Error');

$session->ask("BEGIN; $batch; SELECT 1 / 0");
$session->ask('COMMIT');
$session->ask('SELECT 1');
is( queued(),
	'1x batch 2 transaction rolled back, 3x wait batch 2 transaction rolled back',
	'waits of a batch that failed are queued by the next transaction, with status Error');

$session->ask("BEGIN; SAVEPOINT s; $batch; ROLLBACK TO s");
$session->ask("SELECT otel.end_span('error', 'gave up'); COMMIT");
is( queued(),
	'1x batch 2 gave up, 3x wait batch 2 transaction rolled back',
	'waits undone by a rollback to a savepoint have status Error');

$session->ask("BEGIN READ ONLY; $batch; SELECT otel.end_span(); COMMIT");
is(queued(), '', 'waits of a read-only transaction are not queued by it');
$session->ask('SELECT 1');
is(queued(), '1x batch 0, 3x wait batch 0',
	'waits of a read-only transaction are queued by the next that can write, as they were');

$session->ask("BEGIN; $batch; SELECT otel.end_span(); PREPARE TRANSACTION 'batch'");
is($node->safe_psql('postgres', 'SELECT count(*) FROM otel.span_queue'),
	'0', 'waits of a prepared transaction are not queued before it commits');
$node->safe_psql('postgres', "COMMIT PREPARED 'batch'");
is(queued(), '1x batch 0, 3x wait batch 0', 'COMMIT PREPARED in another session queues the waits');

# ---- sessions that others use next ----
$session->ask("BEGIN; $batch; SELECT otel.end_span(); ROLLBACK");
$session->ask('DISCARD ALL');
$session->ask('SELECT 1');
is( queued(),
	'1x batch 2 transaction rolled back, 3x wait batch 2 transaction rolled back',
	"a pooler's DISCARD ALL does not lose waits");
$session->ask($batch);
$session->ask('SELECT otel.record_wait(trace_context, created_at) FROM items');
like($session->told, qr/WARNING:  no span is open/,
	'a wait in the next transaction of a session finds no open span');
is(() = $session->told =~ /WARNING/g, 1,
	'a statement says once that no span is open, not for each item');
queued();

$session->ask("BEGIN; $batch; SELECT otel.end_span(); ROLLBACK");
$session->quit;
$node->poll_query_until('postgres', 'SELECT count(*) = 4 FROM otel.span_queue');
is( queued(),
	'1x batch 2 transaction rolled back, 3x wait batch 2 transaction rolled back',
	'a session that ends queues its waits');

# ---- what is told ----
$session = Session->new($node, 'postgres');
$session->ask(q{BEGIN; SELECT otel.start_span('batch', root => true) IS NOT NULL});
$session->ask(q{SELECT otel.record_wait(trace_context, now() + interval '1 hour') FROM items});
is(() = $session->told =~ /WARNING:  a wait cannot begin after now/g,
	1, 'waits that begin after now are put right with one warning a statement');
$session->ask(q{SELECT otel.record_wait(trace_context, now() + interval '1 hour') FROM items});
is(() = $session->told =~ /WARNING:  a wait cannot begin after now/g, 1,
	'waits that begin after now warn again in the next statement');
$session->ask('SELECT otel.end_span(); COMMIT');
is(queued(), '1x batch 0, 6x wait batch 0', 'all waits that begin after now are recorded');
$session->quit;

done_testing();
