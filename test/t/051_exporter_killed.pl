# Whatever is killed, whenever: what was committed arrives, and twice only what was under way.
use strict;
use warnings;
use IPC::Run;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use SilentCollector;
use Test::More;
use Time::HiRes qw(sleep time);

my $rounds = $ENV{TEST_FULL} ? 20 : 3;
my $receiver = OtelExport->receiver;
my $silent = SilentCollector->new;
my $node = OtelExport::node('main', $receiver, 'restart_after_crash = on', 'log_statement = none',
	'max_connections = 20');

# A running exporter sees neither before it begins its next batch.
sub export_to
{
	my ($url) = @_;
	$node->safe_psql('postgres',
		"ALTER DATABASE postgres SET otel.exporter_otlp_endpoint = '$url'");
}

# Records spans and returns the pid of an exporter that waits for the answer to a request with them.
sub hang
{
	my ($name, $count) = @_;
	export_to($silent->url);
	OtelExport::record_batch($node, $name, $count);
	$silent->request;
	my $pid = OtelExport::status($node, 'exporter_pid');
	export_to($receiver->url);
	return $pid;
}

sub crash_restarted
{
	my ($pid) = @_;
	return OtelExport::wait_until(sub { !kill 0, $pid })
	  && OtelExport::wait_sql($node, 'SELECT true');
}

# While a request is under way
my $pid = hang('killed', 5);
is($node->safe_psql('postgres',
	"SELECT backend_xid IS NULL AND backend_xmin IS NULL AND xact_start IS NULL
		FROM pg_stat_activity WHERE pid = $pid"),
	't', 'an exporter in a request has no transaction open');
is($node->safe_psql('postgres',
	"SELECT string_agg(locktype || ' ' || mode, ', ') FROM pg_locks WHERE pid = $pid"),
	'object ExclusiveLock', 'an exporter in a request holds nothing but the guard');
is(OtelExport::status($node, "pending || ' ' || exported"), '5 0',
	'spans without an answer are still in the queue');
kill 'KILL', $pid;
ok(crash_restarted($pid),
	'the server restarts after kill -9 of an exporter between request and answer');
ok(OtelExport::wait_drained($node),
	'after kill -9 of the exporter the queue is drained, although no span was recorded since');
is_deeply([ $receiver->span_names(qr/^killed/) ], [ OtelExport::names('killed', 5) ],
	'after kill -9 of the exporter all spans arrive');

# While sixteen requests are under way: sent again is at most what those had, and what the sixteen
# before them had, whose deletion may not be on disk yet
OtelExport::set($node, 'otel.bsp_max_export_batch_size = 10');
$receiver->answer({ delay => 1, times => 0 });
OtelExport::record_batch($node, 'side by side', 600);
ok(OtelExport::wait_until(sub { $receiver->span_names(qr/^side/) >= 20 }),
	'some of many requests under way are answered');
my $duplicates = $receiver->duplicates;
$pid = OtelExport::status($node, 'exporter_pid');
kill 'KILL', $pid;
ok(crash_restarted($pid), 'the server restarts after kill -9 of an exporter with many requests');
$receiver->answer();
ok(OtelExport::wait_drained($node), 'the queue is drained after that');
is_deeply([ $receiver->span_names(qr/^side/) ], [ OtelExport::names('side by side', 600) ],
	'all spans of requests that were under way arrive');
cmp_ok($receiver->duplicates - $duplicates, '<=', 2 * 16 * 10,
	'no more is sent twice than what was under way and what was not on disk');
is(OtelExport::status($node, 'failed'), 0, 'kill -9 sets no span aside');
OtelExport::set($node, 'otel.bsp_max_export_batch_size = 512');

# Politely, and quickly.  A busy machine may need a second try.
my ($terminate, $shutdown) = (10, 10);
foreach my $try (1 .. 3)
{
	$pid = hang("terminated$try", 1);
	my $began = time;
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	OtelExport::wait_until(sub { !kill 0, $pid });
	$terminate = time - $began if time - $began < $terminate;
	ok($silent->hung_up, 'a terminated exporter drops its request');
	ok(OtelExport::wait_drained($node),
		'a terminated exporter is started again, although no span was recorded since');
	last if $terminate < 1;
}
cmp_ok($terminate, '<', 1, 'SIGTERM ends an exporter in a request within a second');
foreach my $try (1 .. 3)
{
	$pid = hang("shutdown$try", 1);
	my $began = time;
	$node->stop('fast');
	$shutdown = time - $began if time - $began < $shutdown;
	$node->start;
	OtelExport::record($node, 'started', 1);
	ok(OtelExport::wait_drained($node), 'after a restart the next span gets everything exported');
	last if $shutdown < 1;
}
cmp_ok($shutdown, '<', 1, 'a fast shutdown during a request takes less than a second');

# A crash of the server while the collector is down
export_to('http://127.0.0.1:1');
OtelExport::record($node, 'crash', 3);
OtelExport::wait_sql($node,
	q{SELECT last_error_at > now() - interval '1 minute' FROM otel.export_status});
my $victim = Session->new($node, 'postgres');
my $victim_pid = $victim->pid;
export_to($receiver->url);
kill 'KILL', $victim_pid;
$victim->quit;
ok(crash_restarted($victim_pid), 'the server restarts after kill -9 of a backend');
ok(OtelExport::wait_drained($node),
	'after kill -9 of a backend the queue is drained, although no span was recorded since');
is_deeply([ $receiver->span_names(qr/^crash-/) ], [ OtelExport::names('crash', 3) ],
	'after kill -9 of a backend all spans arrive');

# kill -9 of the postmaster at random moments, under load.  The table tells what was committed.
# What the exporter has settled is on disk after three times wal_writer_delay.
my $under_way = 2;
OtelExport::set($node, 'wal_writer_delay = 10ms',
	"otel.exporter_max_concurrent_requests = $under_way");
$node->safe_psql('postgres',
	'CREATE TABLE work (id bigserial, name text DEFAULT gen_random_uuid())');
my $load = PostgreSQL::Test::Utils::tempdir() . '/load.sql';
PostgreSQL::Test::Utils::append_to_file($load, q{
\set undo random(1, 5) = 1
BEGIN;
INSERT INTO work DEFAULT VALUES RETURNING quote_literal('work ' || name) AS name \gset
SELECT otel.record_span(:name, now());
\if :undo
ROLLBACK;
\else
COMMIT;
\endif
});

# The processes of the server, also of one whose postmaster is gone.
sub server_processes
{
	my @pids = map { m{(\d+)$} } glob '/proc/[0-9]*';
	return grep { (readlink "/proc/$_/cwd" // '') eq $node->data_dir } @pids;
}

foreach my $round (1 .. $rounds)
{
	my ($out, $err) = ('', '');
	my $pgbench = IPC::Run::start([ 'pgbench', '-n', '-c', 4, '-j', 2, '-T', 60, '-f', $load, '-h',
		$node->host, '-p',
			$node->port, 'postgres' ], '>', \$out, '2>', \$err);
	ok($node->poll_query_until('postgres', 'SELECT count(*) > ' . 50 * $round . ' FROM work'),
		"round $round: sessions commit spans");
	sleep rand;
	my $postmaster = slurp_file($node->data_dir . '/postmaster.pid') =~ s/\n.*//sr;
	$node->kill9;
	eval { $pgbench->finish };
	# its processes end by themselves, each when it next waits, and hold the shared memory until
	# then
	ok(OtelExport::wait_until(sub { !kill(0, $postmaster) && !server_processes() }),
		"round $round: the postmaster is killed");
	$node->start;
}
OtelExport::record($node, 'last');
ok(OtelExport::wait_drained($node), 'after kill -9 of the postmaster the queue is drained');
my %committed = map { ("work $_" => 1) } split /\n/,
	$node->safe_psql('postgres', 'SELECT name FROM work');
my %arrived;
$arrived{ $_->{name} }++ foreach grep { $_->{status}{code} ne 'error' } $receiver->spans;
my @lost = grep { !$arrived{$_} } keys %committed;
my @invented = grep { /^work/ && !$committed{$_} } keys %arrived;
my @twice = grep { $arrived{$_} > 1 } keys %committed;
is(scalar(@lost), 0, 'every span of a committed transaction has arrived');
is(scalar(@invented), 0, 'a span of a transaction that was not committed arrives only as an error');
cmp_ok(scalar(@twice), '<=', 512 * $under_way * $rounds,
	'kill -9 of the postmaster sends twice at most the batches under way');
note(keys(%committed) . " committed in $rounds rounds, " . @twice . ' arrived twice');

done_testing();
