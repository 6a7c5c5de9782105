# More databases record spans than the server has worker slots: the exporters take turns.
use strict;
use warnings;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;
use Time::HiRes qw(sleep time);

# One of the four slots is taken by the launcher of logical replication.
my $slots = 3;
my @databases = map { "d$_" } 1 .. 6;
my $receiver = OtelExport->receiver;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
OtelExport::configure($node, $receiver, 'max_worker_processes = ' . ($slots + 1),
	'otel.exporter_idle_timeout = 600000', 'log_min_messages = debug1');
$node->start;
foreach my $database (@databases)
{
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, 'CREATE EXTENSION otel_links');
}

sub no_slot_lines
{
	my ($offset) = @_;
	return scalar(() = slurp_file($node->logfile, $offset)
		=~ /no background worker slot is free for the otel_links exporter/g);
}

sub running
{
	return $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'otel_links exporter'});
}

# Has the process ended, waited for by its parent or not?
sub is_over
{
	my ($pid) = @_;
	open my $stat, '<', "/proc/$pid/stat" or return 1;
	my $line = <$stat>;
	return !defined $line || $line =~ /\) Z /;
}

# Nobody records anything a second time.
OtelExport::record($node, $_, 1, $_) foreach @databases;
foreach my $database (@databases)
{
	ok(OtelExport::wait_until(sub { $receiver->span_names(qr/^$database-1$/) == 1 }),
		"the one span of $database arrives, with $slots worker slots for six databases");
}
ok(OtelExport::wait_until(sub {
			return !grep { OtelExport::status($node, 'not_running_because', $_) } @databases;
		}), 'no database has spans that wait for a slot');
is($receiver->duplicates, 0, 'no span is sent twice when exporters take turns');

# Once all have had a slot, nobody makes room for anybody.
my $exporters = q{SELECT string_agg(pid::text, ' ' ORDER BY pid) FROM pg_stat_activity
	WHERE backend_type = 'otel_links exporter'};
my $last = '';
ok(OtelExport::wait_until(sub {
			my $before = $last;
			$last = $node->safe_psql('postgres', $exporters);
			sleep 2;
			return $last ne '' && $last eq $before;
		}), 'exporters stay when no other database wants their slots');

# All slots are taken, by exporters that cannot leave because they have spans which nobody takes:
# many connections, each with its first span, of a database that finds no slot
$receiver->answer({ status => 503, times => 0 });
foreach my $database (@databases[ 0 .. $slots - 1 ])
{
	$node->safe_psql($database, q{SELECT otel.record_span('kept', now()) IS NOT NULL});
}
ok(OtelExport::wait_until(sub {
			$node->safe_psql($_, 'SELECT otel.force_flush(100)')
			  foreach @databases[ 0 .. $slots - 1 ];
			return $slots == grep { OtelExport::status($node, 'exporter_running', $_) eq 't' }
			  @databases[ 0 .. $slots - 1 ];
		}), 'exporters that back off have all the slots');
my $crowded = $databases[-1];
my $offset = -s $node->logfile;
OtelExport::record($node, 'crowd', 1, $crowded);
my @ms;
foreach (1 .. 20)
{
	my $session = Session->new($node, $crowded);
	$session->ask('SELECT otel.current_trace_context()');
	my $begin = time;
	$session->ask(q{SELECT otel.record_span('crowd', now()) IS NOT NULL});
	push @ms, (time - $begin) * 1000;
	$session->quit;
}
is(no_slot_lines($offset), 1, 'twenty-one sessions that find no worker slot log one line');
my $median = (sort { $a <=> $b } @ms)[ @ms / 2 ];
note("first span of a session without a slot: $median ms");
cmp_ok($median, '<', 30, 'a session that finds no worker slot does not wait for one');
like(OtelExport::status($node, 'not_running_because', $crowded), qr/max_worker_processes/,
	'the status says that no slot was free');

# A database that has had its turn is no longer in the queue for slots, and this session has logged
# a moment ago that it finds none.
my $waiting = $node->data_dir . '/pg_stat_tmp/otel_links_waiting.'
  . $node->safe_psql($crowded, 'SELECT oid FROM pg_database WHERE datname = current_database()');
my $session = Session->new($node, $crowded);
foreach my $time ('first', 'second')
{
	unlink($waiting);
	$session->ask(q{SELECT otel.record_span('crowd', now()) IS NOT NULL});
	ok(-e $waiting, "a session that finds no slot puts its database into the queue, $time time");
}
$session->quit;
$receiver->answer();
ok(OtelExport::wait_until(sub { $receiver->members('name') >= 6 + $slots + 23 }),
	'what waited arrives when exporters that had backed off make room');

# An exporter makes room while the postmaster, which frees its slot, is held up: the one that is
# left does not follow it, because nobody would start the others then.
OtelExport::set($node, 'otel.traces_exporter = none', 'otel.exporter_idle_timeout = 0');
ok(OtelExport::wait_until(sub { running() == 0 }), 'without anything to export all leave');
OtelExport::record($node, "held up in $_", 1, $_) foreach @databases;
$node->stop;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'otel_links'
	otel.traces_exporter = otlp
	otel.exporter_idle_timeout = 600000
	max_worker_processes = 3");
$node->start;
my @pair;
ok(OtelExport::wait_until(sub {
			@pair = split / /, $node->safe_psql('postgres', $exporters);
			return @pair == 2;
		}), 'two exporters have the two slots');
my ($postmaster) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
kill 'STOP', $postmaster;
ok(OtelExport::wait_until(sub { grep { is_over($_) } @pair }), 'one of them makes room');
sleep 0.8;
kill 'CONT', $postmaster;
ok(OtelExport::wait_until(sub { $receiver->span_names(qr/^held up/) == @databases }, 60),
	'what waits in the other databases is exported all the same');

# The launcher has a slot of its own while it resumes; nothing but what waited is to be exported.
OtelExport::set($node, 'otel.traces_exporter = none', 'otel.exporter_idle_timeout = 0');
ok(OtelExport::wait_until(sub { running() == 0 }), 'with otel.traces_exporter = none all leave');
OtelExport::record($node, "resumed in $_", 1, $_) foreach @databases;
foreach my $case ([ 'three slots', 4 ], [ 'one slot beside the launcher', 3 ])
{
	my ($name, $processes) = @$case;
	OtelExport::record($node, "$name $_", 1, $_) foreach @databases;
	$node->stop;
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'otel_links'
		otel.traces_exporter = otlp
		otel.exporter_idle_timeout = 600000
		max_worker_processes = $processes");
	$node->start;
	ok(OtelExport::wait_until(sub { $receiver->span_names(qr/^$name/) == @databases }),
		"with $name what waits in six databases is exported after a restart");
	OtelExport::set($node, 'otel.traces_exporter = none', 'otel.exporter_idle_timeout = 0');
	OtelExport::wait_until(sub { running() == 0 });
}

# The launcher has the only slot.
OtelExport::record($node, "only slot $_", 1, $_) foreach @databases;
$node->stop;
$node->append_conf('postgresql.conf', 'otel.traces_exporter = otlp
	max_worker_processes = 1
	max_logical_replication_workers = 0');
$offset = -s $node->logfile;
$node->start;
ok(OtelExport::wait_until(sub {
			slurp_file($node->logfile, $offset) =~ /no background worker slot is free to resume/
		}), 'a launcher that has the only slot says so and leaves');
ok(OtelExport::wait_until(sub {
			$node->safe_psql('d1', q{SELECT otel.record_span('nudge', now()) IS NOT NULL});
			return $receiver->span_names(qr/^only slot/) == @databases;
		}), 'one slot serves six databases, while one of them records spans');
unlike(slurp_file($node->logfile, $offset), qr/(PANIC|ERROR): /,
	'taking turns leaves no error in the log');
$node->stop;

done_testing();
