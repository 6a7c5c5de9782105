# A wall clock that is set back stops nothing: an exporter at rest, one that backs off, a request
# that hangs, making way for DROP DATABASE, and a session that waits in force_flush().
use strict;
use warnings;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;
use Time::HiRes qw(time);

plan skip_all => 'needs LD_PRELOAD' if $^O ne 'linux';

my $library = "${PostgreSQL::Test::Utils::tmp_check}/wall_clock.so";
my $source = ($ENV{TESTDIR} || '.') . '/test/t/wall_clock.c';
my ($compiler) = `$ENV{PG_CONFIG} --cc` =~ /^(\S+)/;
plan skip_all => 'needs a C compiler'
  if !$compiler || system($compiler, '-shared', '-fPIC', '-o', $library, $source, '-ldl') != 0;

my $file = "${PostgreSQL::Test::Utils::tmp_check}/wall_clock";
append_to_file($file, pack('l!', 0));

# Sets the wall clock of the server back, by the seconds given in all.
sub set_back
{
	my ($seconds) = @_;
	open my $handle, '+<', $file or die "$file: $!";
	print $handle pack('l!', -$seconds);
	close $handle or die "$file: $!";
}

my $receiver = OtelExport->receiver;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
OtelExport::configure($node, $receiver, 'otel.exporter_otlp_timeout = 2000');
{
	local %ENV = (%ENV, LD_PRELOAD => $library, WALL_CLOCK_FILE => $file);
	$node->start;
}
$node->safe_psql('postgres', 'CREATE EXTENSION otel_links');

sub arrived
{
	my ($name, $test) = @_;
	ok(OtelExport::wait_until(sub { $receiver->span_names(qr/^$name-1$/) == 1 }, 30), $test);
}

OtelExport::record($node, 'before', 1);
arrived('before', 'with a clock of its own the server exports');
my $now = $node->safe_psql('postgres', 'SELECT extract(epoch FROM clock_timestamp())');
set_back(3600);
cmp_ok($node->safe_psql('postgres', 'SELECT extract(epoch FROM clock_timestamp())'), '<',
	$now - 3000,
	'the clock of the server is set back an hour');
OtelExport::record($node, 'rest', 1);
arrived('rest', 'an exporter at rest exports on after the clock was set back');

$receiver->answer({ status => 503, times => 0 });
OtelExport::record($node, 'back-off', 1);
OtelExport::wait_sql($node, q{SELECT last_error = 'HTTP status 503' FROM otel.export_status});
set_back(7200);
$receiver->answer();
arrived('back-off', 'an exporter that backs off tries again after the clock was set back');

$receiver->answer({ delay => 600 }, {});
OtelExport::record($node, 'hangs', 1);
OtelExport::wait_sql($node, q{SELECT count(*) = 1 FROM pg_stat_activity
	WHERE backend_type = 'otel_links exporter' AND state = 'active' AND query = 'exporting spans'});
set_back(10800);
arrived('hangs', 'a request that hangs times out after the clock was set back');

$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION otel_links');
OtelExport::record($node, 'other', 1, 'other');
OtelExport::wait_drained($node, 'other');
OtelExport::wait_sql($node, 'SELECT exporter_running FROM otel.export_status', 'other');
set_back(14400);
is($node->psql('postgres', 'DROP DATABASE other'), 0,
	'DROP DATABASE succeeds after the clock was set back');

$receiver->answer({ status => 503, times => 0 });
OtelExport::record($node, 'never', 1);
my $session = Session->new($node, 'postgres');
my $began = time;
$session->tell('SELECT otel.force_flush(4000)');
OtelExport::wait_sql($node, q{SELECT count(*) = 1 FROM pg_stat_activity
	WHERE state = 'active' AND query ~ '^SELECT otel.force_flush' AND wait_event = 'Extension'});
set_back(16000);
$session->answer;
cmp_ok(time - $began, '<', 20,
	'force_flush() returns after its time-out when the clock is set back meanwhile');
$session->quit;
$receiver->answer();
OtelExport::set($node, 'otel.exporter_idle_timeout = 100');
arrived('never', 'a reload ends the back-off after the clock was set back');
ok(OtelExport::wait_sql($node, 'SELECT NOT exporter_running FROM otel.export_status'),
	'the exporter leaves when it is idle after the clock was set back');

# What retention keeps expires, although the clock went back after the table was looked at.
OtelExport::set($node, 'otel.retention = 2', 'otel.exporter_idle_timeout = 60000');
OtelExport::record($node, 'kept early', 1);
arrived('kept early', 'with otel.retention spans are exported');
set_back(18000);
OtelExport::record($node, 'kept late', 1);
arrived('kept late', 'with otel.retention spans are exported after the clock was set back');
ok(OtelExport::wait_until(sub {
			$node->safe_psql('postgres',
				q{SELECT count(*) FROM otel.exported_spans WHERE name = 'kept late-1'}) == 0;
		}, 30), 'kept spans expire after the clock was set back');

done_testing();
