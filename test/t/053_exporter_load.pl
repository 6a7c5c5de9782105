# Four sessions record spans with three links each, as fast as they can, while the exporter works.
# bench/export measures what that costs them; here nothing may be lost.
use strict;
use warnings;
use IPC::Run;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{TEST_FULL} ? 60 : 4;
my $receiver = OtelExport->receiver;
# a time-out would have a batch sent twice, and the receiver has to share the processor
my $node = OtelExport::node('main', $receiver, 'log_statement = none',
	'otel.exporter_otlp_timeout = 120000',
	'otel.bsp_export_timeout = 120000');
my $script = PostgreSQL::Test::Utils::tempdir() . '/load.sql';
PostgreSQL::Test::Utils::append_to_file($script,
	q{SELECT otel.record_span('load', now(), kind => 'consumer', links => ARRAY[
	otel.span_link(otel.from_traceparent('00-1af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01'),
		'{"report.id": 1}'),
	otel.span_link(otel.from_traceparent('00-2af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01'),
		'{"report.id": 2}'),
	otel.span_link(otel.from_traceparent('00-3af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01'),
		'{"report.id": 3}')]);
} =~ s/\n(?=.)/ /gr . "\n");

# How many transactions were committed
sub load
{
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'pgbench', '-n', '-c', 4, '-j', 2, '-T', $seconds, '-f', $script, '-h',
		$node->host, '-p', $node->port,
			'postgres' ], '>', \$out, '2>', \$err) or die $err;
	return $out =~ /transactions actually processed: (\d+)/ ? $1 : die $out;
}

sub received
{
	my $received = 0;
	$received += $_->{spans} foreach grep { $_->{status} == 200 } $receiver->requests;
	return $received;
}

OtelExport::set($node, 'otel.traces_exporter = none');
OtelExport::wait_sql($node, q{SELECT current_setting('otel.traces_exporter') = 'none'});
my $without = load();
is(OtelExport::status($node, 'pending'), $without,
	'every span recorded while spans are held back is pending');
OtelExport::set($node, 'otel.traces_exporter = otlp');
$node->safe_psql('postgres', 'SELECT otel.force_flush(600000)');
ok(OtelExport::wait_drained($node), 'a backlog of four sessions is drained');
is(received(), $without, 'every span of the backlog arrives');

my $with = load();
ok(OtelExport::wait_drained($node),
	'the queue is drained after four sessions worked beside the exporter');
is(received(), $without + $with, 'no span of four busy sessions is lost or sent twice');
is(OtelExport::status($node, "exported || ' ' || failed || ' ' || dropped || ' ' || rejected"),
	$without + $with . ' 0 0 0',
	'the status counts every span as exported');
note(sprintf '%d transactions/s without exporter, %d beside it: %.2f times;'
	  . ' the receiver takes its share of the processor',
	$without / $seconds, $with / $seconds, $with / $without);

done_testing();
