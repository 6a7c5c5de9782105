# Connections to the collector: kept, and made anew after a failure and when they are old, so that
# what a load balancer decides anew counts.
use strict;
use warnings;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs LD_PRELOAD' if $^O ne 'linux';

my $library = "${PostgreSQL::Test::Utils::tmp_check}/clocks.so";
my $source = ($ENV{TESTDIR} || '.') . '/test/t/wall_clock.c';
my ($compiler) = `$ENV{PG_CONFIG} --cc` =~ /^(\S+)/;
plan skip_all => 'needs a C compiler'
  if !$compiler || system($compiler, '-shared', '-fPIC', '-o', $library, $source, '-ldl') != 0;

my $file = "${PostgreSQL::Test::Utils::tmp_check}/monotonic_clock";
append_to_file($file, pack('l!', 0));

# Sets the monotonic clock of the server forward, by the seconds given in all.
sub set_forward
{
	my ($seconds) = @_;
	open my $handle, '+<', $file or die "$file: $!";
	print $handle pack('l!', $seconds);
	close $handle or die "$file: $!";
}

my $receiver = OtelExport->receiver;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
OtelExport::configure($node, $receiver, 'otel.exporter_idle_timeout = 36000000');
{
	local %ENV = (%ENV, LD_PRELOAD => $library, MONOTONIC_CLOCK_FILE => $file);
	$node->start;
}
$node->safe_psql('postgres', 'CREATE EXTENSION otel_links');

# The port that the request with the next span comes from.
my $number = 0;

sub client
{
	OtelExport::record($node, 'span' . ++$number, 1);
	OtelExport::wait_until(sub { $receiver->span_names(qr/^span$number-/) })
	  or die "span $number does not arrive";
	return ($receiver->requests)[-1]{client};
}

my $first = client();
is(client(), $first, 'a connection is kept for the next request');
# libcurl does not use one again that was idle for two minutes
foreach my $seconds (100, 200, 290)
{
	set_forward($seconds);
	is(client(), $first, "a connection of $seconds seconds is used again");
}
set_forward(301);
my $second = client();
isnt($second, $first, 'a connection of five minutes is not used again');
is(client(), $second, 'the new connection is kept as well');

foreach my $status (503, 500)
{
	my $before = client();
	my $requests = $receiver->requests;
	$receiver->answer({ status => $status });
	isnt(client(), $before, "after a $status the next request uses a new connection")
	  if $status == 503;
	next if $status == 503;
	OtelExport::record($node, 'refused', 1);
	OtelExport::wait_sql($node, 'SELECT failed = 1 FROM otel.export_status');
	isnt(client(), $before, "after a $status the next request uses a new connection");
}
$node->stop;

done_testing();
