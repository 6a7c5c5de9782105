# Finding and starting the exporter costs a session that records its first span nothing that grows
# with the server's load, and a crowd of such sessions one worker slot.
use strict;
use warnings;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;
use Time::HiRes qw(time);

my $sessions = 30;
my $receiver = OtelExport->receiver;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
OtelExport::configure($node, $receiver, 'log_min_messages = debug1', 'max_worker_processes = 40',
	'max_locks_per_transaction = 1000', 'otel.exporter_idle_timeout = 3000');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION otel_links');

sub registered
{
	my ($offset) = @_;
	my $log = slurp_file($node->logfile, $offset);
	return scalar(() = $log =~ /registering background worker "otel_links exporter"/g);
}

sub wait_for_no_exporter
{
	OtelExport::wait_sql($node, 'SELECT NOT exporter_running FROM otel.export_status')
	  or die 'the exporter stays';
}

sub arrived
{
	my ($name, $test) = @_;
	OtelExport::wait_drained($node)
	  or diag($node->safe_psql('postgres', 'TABLE otel.export_status'));
	is_deeply([ $receiver->span_names(qr/^$name/) ], ["$name-1"], $test);
}

# A crowd: all wait for one lock, and then commit their first span at once.
my $gate = Session->new($node, 'postgres');
my @crowd = map { Session->new($node, 'postgres') } 1 .. $sessions;
foreach my $round (1 .. 3)
{
	wait_for_no_exporter();
	my $offset = -s $node->logfile;
	$gate->ask('SELECT pg_advisory_lock(1)');
	$crowd[$_]->tell(qq{
		SELECT pg_advisory_lock_shared(1);
		SELECT otel.record_span('crowd-$round-$_', now()) IS NOT NULL;
		SELECT pg_advisory_unlock_shared(1)}) foreach 0 .. $#crowd;
	OtelExport::wait_sql($node,
		"SELECT count(*) = $sessions FROM pg_stat_activity WHERE wait_event = 'advisory'");
	$gate->ask('SELECT pg_advisory_unlock(1)');
	$_->answer foreach @crowd;
	OtelExport::wait_drained($node);
	is_deeply([ $receiver->span_names(qr/^crowd-$round-/) ],
		[ sort map { "crowd-$round-$_" } 0 .. $#crowd ],
		"round $round: all spans of $sessions sessions that commit at once arrive");
	cmp_ok(registered($offset), '<=', 2, "round $round: they start at most two workers");
}
$_->quit foreach @crowd;

# A session that asked for a worker which never arrives
wait_for_no_exporter();
$node->safe_psql('postgres', q{
	SELECT setval('otel.exporter_starting',
		(extract(epoch FROM clock_timestamp() - '2000-01-01 00:00 UTC') * 1000000)::bigint)});
OtelExport::record($node, 'behind a claim', 1);
$node->safe_psql('postgres', 'SELECT otel.force_flush()');
arrived('behind a claim', 'the claim of a session whose worker never arrives expires');

# In the place of the sequence something else
wait_for_no_exporter();
$node->safe_psql('postgres', q{
	ALTER SEQUENCE otel.exporter_starting RENAME TO hidden;
	CREATE TABLE otel.exporter_starting ()});
OtelExport::record($node, 'without the sequence', 1);
arrived('without the sequence', 'an exporter starts where the sequence for claims is gone');
$node->safe_psql('postgres', q{
	DROP TABLE otel.exporter_starting;
	ALTER SEQUENCE otel.hidden RENAME TO exporter_starting});

# A lock on it delays no commit.
wait_for_no_exporter();
$gate->ask('BEGIN; ALTER SEQUENCE otel.exporter_starting RENAME TO locked');
OtelExport::record($node, 'locked sequence', 1);
arrived('locked sequence', 'an exporter starts where that sequence is locked');
$gate->ask('ROLLBACK');

# The first span of a session, beside a hundred thousand locks
sub first_span_ms
{
	my @ms;
	foreach (1 .. 11)
	{
		my $session = Session->new($node, 'postgres');
		$session->ask('SELECT otel.current_trace_context()');
		my $begin = time;
		$session->ask(q{SELECT otel.record_span('first', now()) IS NOT NULL});
		push @ms, (time - $begin) * 1000;
		$session->quit;
	}
	return (sort { $a <=> $b } @ms)[0];
}
OtelExport::set($node, "otel.exporter_idle_timeout = '1min'");
OtelExport::record($node, 'warm', 1);
OtelExport::wait_sql($node, 'SELECT exporter_running FROM otel.export_status');
my $without = first_span_ms();
$gate->ask('SELECT count(pg_advisory_lock(i)) FROM generate_series(1, 100000) i');
my $with = first_span_ms();
note("first span of a session, at best: $without ms, beside 100,000 locks $with ms");
cmp_ok($with, '<', $without + 10,
	'the first span of a session does not walk the lock table');
$gate->quit;
$node->stop;

done_testing();
