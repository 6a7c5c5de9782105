# A storm: 16 sessions run random transactions, with spans and captured rows in all of them, while
# sessions, apply workers, walsenders and exporters are cancelled and terminated; a subscriber that
# records spans too and two exporters are behind it.  test/storm/storm.py is the storm itself.
#
#   STORM_SEED=…     the same script for each session again (the seed of a run is in its output)
#   STORM_SECONDS=…  15 by default; 300 with TEST_FULL=1
#   STORM_PACE=…     cancels, terminations and the like come so many times slower (valgrind: 20)
use strict;
use warnings;
use IPC::Run;
use JSON::PP;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{STORM_SECONDS} || ($ENV{TEST_FULL} ? 300 : 15);
my $sessions = $ENV{STORM_SESSIONS} || 16;
my $pace = $ENV{STORM_PACE} || 1;
my $seed = $ENV{STORM_SEED} // int(rand(1_000_000));
my $dir = ($ENV{TESTDIR} || '.') . '/test/storm';
note("STORM_SEED=$seed, $sessions sessions, $seconds seconds");

my $receiver = OtelExport->receiver;
my @settings = (
	'restart_after_crash = off',
	'log_statement = none',
	"log_line_prefix = '%m [%p] %q%a %e '",
	'max_connections = 60',
	'max_worker_processes = 24',
	'max_prepared_transactions = 60',
	'deadlock_timeout = 50ms',
	'wal_retrieve_retry_interval = 100ms');
my %nodes;
foreach my $name (qw(publisher subscriber))
{
	my $node = $nodes{$name} = PostgreSQL::Test::Cluster->new($name);
	$node->init(allows_streaming => 'logical');
	OtelExport::configure($node, $receiver, @settings);
	$node->start;
	$node->safe_psql('postgres', slurp_file("$dir/schema.sql"));
}
my ($publisher, $subscriber) = @nodes{qw(publisher subscriber)};
$subscriber->safe_psql('postgres', slurp_file("$dir/subscriber.sql"));
# Little memory has large transactions streamed.  Not on PostgreSQL 18 and later: 18 marks the
# subtransactions of an aborted transaction that it evicts as streamed (ReorderBufferTruncateTXN).
# An assertion fails; without assertions a subscriber's worker that has just started crashes,
# because it is told to abort what it never got.
OtelExport::set($publisher, 'logical_decoding_work_mem = 64kB')
  if $publisher->safe_psql('postgres', 'SHOW server_version_num') < 180000;
$publisher->safe_psql('postgres', 'CREATE PUBLICATION storm FOR ALL TABLES');
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION storm CONNECTION '" . $publisher->connstr
	. " dbname=postgres' PUBLICATION storm WITH (streaming = on, two_phase = on, copy_data = off)");
$subscriber->wait_for_subscription_sync($publisher, 'storm');

# Replication workers run no transaction as they exit: what they lose is counted in the log only.
sub logged_as_lost
{
	my ($node) = @_;
	my $lost = 0;
	my $log = slurp_file($node->logfile);
	while ($log =~ /LOG:  (\d+) spans? (?:is|are) lost: .*\n.*DETAIL:  (.*)/g)
	{
		$lost += $1 unless $2 =~ /includes this/;
	}
	return $lost;
}

my ($out, $err) = ('', '');
my $ended = IPC::Run::run(
	[ ($ENV{TESTDIR} || '.') . '/build/venv/bin/python3', "$dir/storm.py",
		'--publisher', $publisher->connstr('postgres'), '--subscriber',
			$subscriber->connstr('postgres'),
		'--receiver', $receiver->{files}, '--seed', $seed, '--seconds', $seconds, '--sessions',
			$sessions,
		'--pace', $pace, '--prepare-transactions' ],
	'>', \$out, '2>', \$err);
ok($ended, "the storm ends, and both servers come to rest (STORM_SEED=$seed)") or diag($err);
my $report = $ended ? decode_json($out) : { against => {} };
if ($ended)
{
	my $against = delete $report->{against};
	note(JSON::PP->new->canonical->pretty->encode($report));
	my %counted =
	  map { $_ => $report->{'lost and counted'}{$_} + logged_as_lost($nodes{$_}) } keys %nodes;

	# the sentence of each check, and how many exceptions the exporters' counts allow
	my @checks = (
		[ 'lost rows', 'every row that a client was told is committed is there' ],
		[ 'rows of a rollback', 'no row is there that was rolled back' ],
		[ 'rows of nobody', 'no row is there that nobody inserted' ],
		[ 'transactions in part',
			'a transaction whose client was cut off has all of its rows or none' ],
		[ 'lost updates', 'rows that everybody updates have the sum of what was committed' ],
		[ 'wrong contexts', 'every row has exactly the context that its client sent' ],
		[ 'wrong contexts of updates',
			'every update has exactly the context that its client sent' ],
		[ 'differences on the subscriber',
			'the subscriber has the same rows with the same contexts' ],
		[ 'missing spans', 'every span of a committed transaction arrives or is counted',
			$counted{publisher} ],
		[ 'missing spans of savepoints', 'every span that a savepoint undid arrives or is counted',
			$counted{publisher} ],
		[ 'missing spans of the subscriber', 'every span of an applied row arrives or is counted',
			$counted{subscriber} ],
		[ 'spans of committed work that say Error',
			'no span of committed work says that it was rolled back' ],
		[ 'spans of work that was undone that do not say Error',
			'no span of work that was undone says that it succeeded' ]);
	foreach my $check (@checks)
	{
		my ($name, $sentence, $allowed) = @$check;
		my @found = @{ delete $against->{$name} };
		cmp_ok(scalar @found, '<=', $allowed || 0, $sentence)
		  or diag(join("\n", "STORM_SEED=$seed, " . @found . ':',
			grep { defined } @found[ 0 .. 9 ]));
	}
	is_deeply([ keys %$against ], [], 'every check of the storm is known here');
	my $under_way = $publisher->safe_psql('postgres', q{
		SELECT otel.force_flush(0) * 0 + current_setting('otel.bsp_max_export_batch_size')::int
		       * current_setting('otel.exporter_max_concurrent_requests')::int});
	cmp_ok($report->{duplicates}, '<=', $under_way * $report->{'exporters ended'},
		'a span arrives twice only when its exporter was terminated');
	cmp_ok($report->{committed}, '>', 2 * $seconds / $pace,
		'transactions were committed all the time');
	cmp_ok($report->{errors}{57014} || 0, '>', 0, 'statements were cancelled');
	cmp_ok($report->{errors}{'57P01'} || 0, '>', 0, 'sessions were terminated');
}
foreach my $name (sort keys %nodes)
{
	my $node = $nodes{$name};
	is($node->psql('postgres', 'SELECT 1'), 0, "the $name is up");
	my @complaints = grep { /TRAP:|PANIC: |terminated by signal| XX\w{3} (?:ERROR|FATAL|WARNING):/ }
	  split /\n/, slurp_file($node->logfile);
	is(scalar @complaints, 0, "the ${name}'s log has no assertion, no crash and no internal error")
	  or diag(join "\n", grep { defined } @complaints[ 0 .. 9 ]);
	$node->stop;
}

done_testing();
