# The exporter comes when there is something to export, alone, and goes; no span is left behind by
# that.
use strict;
use warnings;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SilentCollector;
use Test::More;
use Time::HiRes qw(time);

my $rounds = $ENV{TEST_FULL} ? 300 : 40;
my $receiver = OtelExport->receiver;
my $node = OtelExport::node('main', $receiver, 'max_worker_processes = 2',
	'max_logical_replication_workers = 0');
my $log = $node->logfile;
my $exporters = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'otel_links exporter'};

sub exporter_pid { return OtelExport::status($node, 'exporter_pid', @_) }

sub gone { return OtelExport::wait_sql($node, "SELECT ($exporters) = 0") }

sub pgbench
{
	my ($script, @options) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/script.sql';
	PostgreSQL::Test::Utils::append_to_file($file, $script);
	PostgreSQL::Test::Utils::system_or_bail('pgbench', '-n', '-j', 2, '-f', $file, '-h',
		$node->host, '-p', $node->port,
		@options, 'postgres');
}

# However exporters come and go
is(OtelExport::status($node, 'exporter_running OR pending > 0 OR not_running_because IS NOT NULL'),
	'f',
	'before the first span no exporter runs and the status has no complaint');
OtelExport::set($node, 'otel.exporter_idle_timeout = 0');
my $stranded = 0;
foreach my $round (1 .. $rounds)
{
	pgbench("\\set pause random(0, 20)\n\\sleep :pause ms\n"
		  . "SELECT otel.record_span('round', now());\n",
		'-c', 4, '-t', 5, '--random-seed', $round);
	# nobody writes any more: what is not seen now, nobody will ever see
	unless (OtelExport::wait_drained($node))
	{
		$stranded++;
		last;
	}
}
is($stranded, 0, "no span is stranded in $rounds rounds of exporters that come and go");
ok(gone(), 'after the races no exporter runs');
is($receiver->duplicates, 0, 'the races export no span twice');
is(scalar(grep { $_->{name} eq 'round' } $receiver->spans), 20 * $rounds,
	'the races export every span');

# Those that find the guard taken leave
OtelExport::set($node, 'otel.exporter_idle_timeout = 600000');
pgbench("SELECT otel.record_span('crowd', now());\n", '-c', 8, '-t', 1);
ok(OtelExport::wait_drained($node), 'eight first spans at once are exported');
ok(OtelExport::wait_sql($node, "SELECT ($exporters) = 1"),
	'eight first spans at once are exported by one exporter');

# Settings of the database that change while a request is under way do not have its spans sent twice
$receiver->answer(map { { delay => 0.05, times => 5 } } 1 .. 20);
foreach my $round (1 .. 20)
{
	$node->safe_psql('postgres',
		"SELECT otel.record_span('set', now());
		ALTER DATABASE postgres SET otel.service_name = 'round $round'");
}
$receiver->answer();
ok(OtelExport::wait_drained($node), 'spans are exported while settings of the database change');
is(scalar(grep { $_->{name} eq 'set' } $receiver->spans), 20,
	'each span arrives once while settings change');

# Worker slots
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('postgres', 'CREATE DATABASE third');
$node->safe_psql($_, 'CREATE EXTENSION otel_links') foreach qw(other third);
OtelExport::record($node, 'other', 1, 'other');
# a worker that found no slot for its successor just now keeps its own for five seconds
ok(OtelExport::wait_until(sub {
			$node->safe_psql('other', 'SELECT otel.force_flush(100)');
			return OtelExport::status($node, 'pending', 'other') == 0;
		}), 'another database has another exporter');
my $offset = -s $log;
OtelExport::record($node, 'no slot', 2, 'third');
is(OtelExport::status($node, 'pending || exporter_running::text', 'third'), '2false',
	'without a free worker slot spans wait and no exporter runs');
like(OtelExport::status($node, 'not_running_because', 'third'), qr/max_worker_processes/,
	'without a free worker slot the status names max_worker_processes');
like(PostgreSQL::Test::Utils::slurp_file($log, $offset),
	qr/no background worker slot is free for the otel_links exporter/,
	'without a free worker slot the log says so');
is($node->safe_psql('third', 'BEGIN READ ONLY; SELECT otel.force_flush(100)'),
	0, 'without a free worker slot force_flush() raises nothing, also in a read-only transaction');
OtelExport::set($node, 'otel.exporter_idle_timeout = 0');
ok(gone(), 'the exporter leaves and frees its slot');
OtelExport::record($node, 'slot', 1, 'third');
ok(OtelExport::wait_drained($node, 'third'),
	'when a slot is free the next span starts an exporter');
is_deeply([ $receiver->span_names(qr/slot/) ], [ 'no slot-1', 'no slot-2', 'slot-1' ],
	'when a slot is free all that waited is exported');
ok(gone(), 'the exporter that found a slot leaves');
is(OtelExport::status($node, 'not_running_because', 'third'), '',
	'the status has no complaint when a slot was found');

OtelExport::set($node, 'otel.exporter_idle_timeout = 600000');
OtelExport::record($node, 'stay');
OtelExport::wait_drained($node);

# DROP EXTENSION, at rest and in the middle of a request
my $silent = SilentCollector->new;
foreach my $case ('at rest', 'in a request')
{
	my $pid = exporter_pid();
	if ($case eq 'in a request')
	{
		$node->safe_psql('postgres',
			"ALTER DATABASE postgres SET otel.exporter_otlp_endpoint = '" . $silent->url . q{'});
		OtelExport::record($node, 'hanging');
		$silent->request;
		$pid = exporter_pid();
	}
	my $began = time;
	$node->safe_psql('postgres', 'DROP EXTENSION otel_links');
	cmp_ok(time - $began, '<', 2, "DROP EXTENSION does not wait for an exporter $case");
	undef $silent->{connection};
	ok(OtelExport::wait_until(sub { !kill 0, $pid }), "the exporter leaves ($case)");
	$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET otel.exporter_otlp_endpoint');
	$node->safe_psql('postgres', 'CREATE EXTENSION otel_links');
	OtelExport::record($node, "created $case");
	ok(OtelExport::wait_drained($node), "after CREATE EXTENSION spans are exported again ($case)");
}
is_deeply([ $receiver->span_names(qr/^created/) ],
	[ 'created at rest-1', 'created in a request-1' ],
	'spans recorded after each CREATE EXTENSION arrive');

$node->stop;
my $complaints = join "\n", grep { /(ERROR|FATAL|PANIC|TRAP)/ && !/terminating/ } split /\n/,
	PostgreSQL::Test::Utils::slurp_file($log);
is($complaints, '', 'the log of the races has no error');
done_testing();
