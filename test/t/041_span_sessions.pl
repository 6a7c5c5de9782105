# Spans and the ways in which a session ends: what still waits is queued by the session's process as
# it exits, whoever ended it, and nothing keeps it from exiting.  And on a hot standby, which cannot
# queue.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use lib 'test/t';
use Session;
use Wire;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', "otel.traces_exporter = none\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION otel_links');

sub queue
{
	my ($server) = @_;
	return $server->safe_psql('postgres', q{
		SELECT string_agg(concat_ws(' ', name, status_code, status_message), ', ' ORDER BY ctid)
			FROM otel.span_queue});
}

# A process that exits does its work after its client has gone.
sub is_queued
{
	my ($expected, $what) = @_;
	$node->poll_query_until('postgres', 'SELECT EXISTS (SELECT FROM otel.span_queue)');
	is(queue($node), $expected, $what);
	$node->safe_psql('postgres', 'TRUNCATE otel.span_queue');
}

sub wait_until_gone
{
	my ($pid) = @_;
	return $node->poll_query_until('postgres',
		"SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)");
}

sub is_logged
{
	my ($expected, $from, $what) = @_;
	like(slurp_file($node->logfile, $from), $expected, $what);
}

# ---- what limits leave out ----
my $limited = -s $node->logfile;
$node->safe_psql('postgres', q{
	SET otel.attribute_count_limit = 1;
	SET otel.span_event_count_limit = 1;
	BEGIN;
	SELECT otel.start_span('limited', attributes => '{"a": 1, "b": 2, "c": 3}');
	SELECT otel.add_event('first'), otel.add_event('second');
	SELECT otel.end_span();
	COMMIT;
	SELECT otel.record_span('limited again', now(), attributes => '{"a": 1, "b": 2}')});
is_queued('limited 0, limited again 0', 'spans that exceed limits are queued');
is_logged(qr/limits left out parts of span "limited": attributes: 2, events: 1, links: 0/, $limited,
	'the log says what limits left out of a span');
is(scalar(() = slurp_file($node->logfile, $limited) =~ /limits left out parts/g), 1,
	'a session whose spans exceed limits logs that once a minute');

# ---- clients that leave ----
$node->psql('postgres', q{BEGIN; SELECT otel.start_span('failed'); SELECT 1 / 0});
is_queued('failed 2 transaction rolled back', 'the span of a psql -c that fails is queued');
$node->psql('postgres', q{SELECT otel.start_span('one statement'), 1 / (random() * 0)::int});
is_queued('one statement 2 transaction rolled back',
	'the span of a statement that fails is queued');
$node->psql('postgres', q{CALL otel.trace_job('job', 'SELECT 1 / 0')});
is_queued('job 2 division by zero', 'the span of a job that fails is queued with the error');
$node->psql('postgres', q{BEGIN; SELECT otel.start_span('unfinished')});
is_queued('unfinished 2 transaction rolled back',
	'the span of a client that leaves in its transaction is queued');

my $log = -s $node->logfile;
$node->psql('postgres', q{SELECT otel.start_span('of the session', scope => 'session')});
is_queued('of the session 0', 'a session\'s span that a client leaves open is queued');
is_logged(qr/WARNING:  span "of the session" was open when its session ended or was reset/, $log,
	'the log names a session\'s span that was left open');

$node->psql('postgres',
	q{SET default_transaction_read_only = on; SELECT otel.record_span('read-only', now())});
is_queued('read-only 0', 'the span of a session that only reads is queued when it ends');
$node->psql('postgres',
	q{SET default_transaction_isolation = serializable; SET default_transaction_deferrable = on;
	SET default_transaction_read_only = on;
	BEGIN; SELECT otel.record_span('deferrable', now()); ROLLBACK});
is_queued('deferrable 2 transaction rolled back',
	'the span of a session whose defaults forbid writing is queued when it ends');
$node->psql('postgres',
	q{BEGIN; SELECT otel.record_span('temporary', now()); CREATE TEMPORARY TABLE x ();
	CREATE TEMPORARY TABLE y (); COMMIT;
	BEGIN; SELECT otel.start_span('and then'); ROLLBACK});
is_queued('temporary 0, and then 2 transaction rolled back',
	'spans are queued at the end of a session with temporary tables');

# ---- sessions that are ended ----
my $session = Session->new($node, 'postgres');
$session->ask(q{BEGIN; SELECT otel.start_span('terminated') IS NOT NULL});
$node->safe_psql('postgres', "SELECT pg_terminate_backend(${\$session->pid})");
is_queued('terminated 2 transaction rolled back',
	'a session terminated in its transaction queues its span');

# what drops the temporary tables aborts the transaction while its statement seems to go on
$session = Session->new($node, 'postgres');
$session->ask(q{SELECT otel.record_span('first', now()) IS NOT NULL;
	CREATE TEMPORARY TABLE temporary ()});
$node->safe_psql('postgres', 'TRUNCATE otel.span_queue');
$session->ask(q{BEGIN; SELECT otel.start_span('has temporary tables') IS NOT NULL});
$session->tell('SELECT pg_sleep(600)');
$node->poll_query_until('postgres',
	"SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = ${\$session->pid}");
$node->safe_psql('postgres', "SELECT pg_terminate_backend(${\$session->pid})");
is_queued('has temporary tables 2 transaction rolled back',
	'the span of a session with temporary tables that is terminated has status Error');

$session = Session->new($node, 'postgres');
$session->ask(q{SELECT otel.start_span('idle', scope => 'session') IS NOT NULL});
$node->safe_psql('postgres', "SELECT pg_terminate_backend(${\$session->pid})");
is_queued('idle 0', 'a session terminated while it is idle queues its span');

$session = Session->new($node, 'postgres');
$session->tell(q{SELECT otel.start_span('at work'), pg_sleep(600)});
$node->poll_query_until('postgres',
	"SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = ${\$session->pid}");
$node->safe_psql('postgres', "SELECT pg_terminate_backend(${\$session->pid})");
is_queued('at work 2 transaction rolled back',
	'a session terminated in a statement queues its span');

$session = Session->new($node, 'postgres');
# it may end before psql has said anything
$session->tell(q{BEGIN; SELECT otel.start_span('timed out') IS NOT NULL;
	SET idle_in_transaction_session_timeout = '10ms'});
is_queued('timed out 2 transaction rolled back',
	'idle_in_transaction_session_timeout queues the span');

$session = Session->new($node, 'postgres');
$session->ask(q{BEGIN; SELECT otel.start_span('killed') IS NOT NULL});
$session->kill;
is_queued('killed 2 transaction rolled back', 'the span of a client that is killed is queued');

my $wire = Wire->connect($node, 'postgres');
$wire->query(q{BEGIN; SELECT otel.start_span('unread')});
$wire->send(query => [q{SELECT repeat('x', 1000000) FROM generate_series(1, 100)}]);
my $blocked = $node->safe_psql('postgres',
	q{SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT repeat%'});
$node->poll_query_until('postgres',
	"SELECT wait_event = 'ClientWrite' FROM pg_stat_activity WHERE pid = $blocked");
$node->safe_psql('postgres', "SELECT pg_terminate_backend($blocked)");
is_queued('unread 2 transaction rolled back',
	'the span of a client that does not read is queued when it is terminated');

# ---- what does not keep a process from exiting ----
my $toast = $node->safe_psql('postgres',
	q{SELECT reltoastrelid::regclass FROM pg_class WHERE oid = 'otel.span_queue'::regclass});
my $locker = Session->new($node, 'postgres');
my $lost = 0;
for my $lock ('LOCK TABLE otel.span_queue', "REINDEX TABLE $toast")
{
	$locker->ask("BEGIN; $lock");
	$log = -s $node->logfile;
	$session = Session->new($node, 'postgres');
	$session->ask(q{BEGIN READ ONLY; SELECT otel.record_span('lost', now()) IS NOT NULL; COMMIT});
	$session->quit;
	ok(wait_until_gone($session->pid),
		"a session that ends during $lock does not wait for its lock");
	is_logged(qr/LOG:  1 span is lost: it could not be queued when its session ended/, $log,
		"the log says that a span is lost during $lock");
	$lost++;
	is($node->safe_psql('postgres',
		'SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM otel.dropped_spans'), $lost,
			"a span lost during $lock counts as dropped");

	$session = Session->new($node, 'postgres');
	$session->ask(q{BEGIN; SELECT otel.record_span('terminated', now()) IS NOT NULL;
		CREATE TEMPORARY TABLE x ()});
	is($node->safe_psql('postgres', "SELECT pg_terminate_backend(${\$session->pid}, 60000)"), 't',
		"a session that is terminated during $lock ends");
	$lost++;
	is($node->safe_psql('postgres', 'SELECT last_value FROM otel.dropped_spans'), $lost,
		"a span of a session terminated during $lock counts as dropped");
	$locker->ask('COMMIT');
	is(queue($node), '', "none of the spans lost during $lock is in the queue");
}

# ---- the transaction that queues an exiting session's spans has nothing else of that session ----
$node->safe_psql('postgres', q{SELECT pg_replication_origin_create('elsewhere')});
$log = -s $node->logfile;
$session = Session->new($node, 'postgres');
$session->ask(q{SELECT pg_replication_origin_session_setup('elsewhere'); BEGIN;
	SELECT otel.record_span('of an origin', now()) IS NOT NULL;
	SELECT pg_replication_origin_xact_setup('F/F0000000', now())});
$session->quit;
ok(wait_until_gone($session->pid), 'a session with a replication origin ends');
is($node->safe_psql('postgres', q{SELECT pg_replication_origin_progress('elsewhere', true)}), '',
	'the replication origin of a session that ends does not move');
is_logged(
	qr/LOG:  1 span is lost:[^\n]*\n[^\n]*DETAIL:  The session has a replication origin set up/,
	$log,
	'the log says that a span of a session with a replication origin is lost');
is(queue($node), '', 'a session with a replication origin queues nothing as it ends');

$session = Session->new($node, 'postgres');
$session->ask(q{CREATE ROLE nobody; SET ROLE nobody; SET session_replication_role = replica;
	SET default_transaction_isolation = serializable; SET statement_timeout = '1s';
		SET lock_timeout = '1ms';
	BEGIN; SELECT otel.record_span('in spite of', now()) IS NOT NULL; ROLLBACK});
$session->quit;
is_queued('in spite of 2 transaction rolled back',
	"neither role nor timeouts of the session's keep its spans from the queue");

$node->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = 'nobody'});
$session = Session->new($node, 'postgres');
$session->ask(q{BEGIN READ ONLY; SELECT otel.record_span('unconfirmed', now()) IS NOT NULL;
	COMMIT});
$node->reload;
$node->poll_query_until('postgres',
	q{SELECT current_setting('synchronous_standby_names') = 'nobody'});
$session->quit;
ok(wait_until_gone($session->pid), 'a session that ends does not wait for a synchronous standby');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET synchronous_standby_names');
$node->reload;
is_queued('unconfirmed 0', 'the span of a session without its synchronous standby is queued');

# ---- shutdown ----
my @sessions = map { Session->new($node, 'postgres') } 1 .. 3;
$sessions[0]->ask(q{BEGIN; SELECT otel.start_span('in a transaction') IS NOT NULL});
$sessions[1]->ask(q{SELECT otel.start_span('session', scope => 'session') IS NOT NULL});
$sessions[2]->tell(q{SELECT otel.start_span('statement'), pg_sleep(600)});
$node->poll_query_until('postgres',
	"SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = ${\$sessions[2]->pid}");
$node->stop('fast');
$node->start;
is($node->safe_psql('postgres',
	q{SELECT string_agg(name, ', ' ORDER BY name) FROM otel.span_queue}),
		'in a transaction, session, statement',
	'a fast shutdown queues what its sessions have');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*) FROM otel.span_queue'), '3',
	'queued spans survive a crash');
$node->safe_psql('postgres', 'TRUNCATE otel.span_queue');

# ---- hot standby ----
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
$node->safe_psql('postgres', q{SELECT otel.record_span('on the primary', now())});
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is(queue($standby), 'on the primary 0', 'the queue is replicated physically');
$session = Session->new($standby, 'postgres');
my $context = $session->ask(q{BEGIN; SELECT otel.start_span('on the standby')});
is($session->ask('SELECT otel.current_trace_context()'), $context,
	'on a hot standby a span is current');
$session->ask('SELECT otel.end_span(); COMMIT');
is($session->told, '', 'on a hot standby a span ends without a warning');
$session->ask(q{CALL otel.trace_job('read-only job', 'SELECT 1')});
is($session->told, '', 'on a hot standby trace_job runs a job');
$session->ask(q{CALL otel.trace_job('read-only job', 'SELECT 1 / 0')});
like($session->told, qr/\AERROR:  division by zero\n[^\n]*\n\z/,
	'on a hot standby trace_job raises the job\'s own error');
my $other = Session->new($standby, 'postgres');
$other->ask(q{SELECT otel.start_span('open', scope => 'session') IS NOT NULL});
$other->quit;
ok($standby->poll_query_until('postgres',
	"SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = ${\$other->pid})"),
	'on a hot standby a session with an open span ends');
$session->ask('SELECT 1');
$standby->promote;
$session->ask(q{SELECT otel.record_span('after promotion', now()) IS NOT NULL});
is($standby->safe_psql('postgres',
	q{SELECT string_agg(name, ', ' ORDER BY ctid) FROM otel.span_queue}),
		'on the primary, after promotion',
	'after its promotion a standby queues spans, and not those from before');

$_->stop for $standby, $node;
done_testing();
