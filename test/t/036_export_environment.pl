# The server's environment: what it says counts where the configuration says nothing.
use strict;
use warnings;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

my $receiver = OtelExport->receiver;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\n");

# The last request of a server that was started with these variables.
sub request_with
{
	my (%variables) = @_;
	local %ENV = (%ENV, OTEL_EXPORTER_OTLP_ENDPOINT => $receiver->url,
		OTEL_BSP_SCHEDULE_DELAY => 100, %variables);
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS otel_links');
	OtelExport::record($node, 'span', 1);
	OtelExport::wait_drained($node);
	$node->stop;
	return ($receiver->requests)[-1];
}

my %general = (OTEL_EXPORTER_OTLP_HEADERS => 'x-key=of%20all,X-Other=other');
is(request_with()->{path}, '/v1/traces', 'OTEL_EXPORTER_OTLP_ENDPOINT is the endpoint');
my $headers = request_with(%general)->{headers};
is_deeply([ @$headers{qw(x-key x-other)} ], [ 'of all', 'other' ],
	'OTEL_EXPORTER_OTLP_HEADERS are sent decoded');
$headers = request_with(%general, OTEL_EXPORTER_OTLP_TRACES_HEADERS => 'x-key=traces')->{headers};
is($headers->{'x-key'}, 'traces', 'OTEL_EXPORTER_OTLP_TRACES_HEADERS come first');
ok(!exists $headers->{'x-other'}, 'with headers for traces the general ones are not sent');
$headers = request_with(%general, OTEL_EXPORTER_OTLP_TRACES_HEADERS => '')->{headers};
is($headers->{'x-key'}, 'of all', 'an empty variable is an unset one');
is(request_with(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT => $receiver->url . '/t?a=b')->{path}, '/t?a=b',
	'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is used as it is');
is(request_with(OTEL_EXPORTER_OTLP_PROTOCOL => 'grpc', OTEL_BSP_MAX_EXPORT_BATCH_SIZE => 'many',
		OTEL_SDK_DISABLED => 'no', OTEL_TRACES_SAMPLER => 'sometimes')->{headers}{'content-type'},
	'application/x-protobuf', 'variables that make no sense are ignored');

# A line that is taken out of the configuration file leaves what the environment says
my %from_environment = ('otel.span_link_count_limit' => 7, 'otel.service_name' => 'shop',
	'otel.sdk_disabled' => 'on',
	'otel.traces_sampler' => 'always_off');
my %from_file = ('otel.span_link_count_limit' => 5, 'otel.service_name' => 'other',
	'otel.sdk_disabled' => 'off',
	'otel.traces_sampler' => 'always_on');
{
	local %ENV = (%ENV, OTEL_SPAN_LINK_COUNT_LIMIT => 7, OTEL_SERVICE_NAME => 'shop',
		OTEL_SDK_DISABLED => 'true',
		OTEL_TRACES_SAMPLER => 'always_off', OTEL_BSP_MAX_EXPORT_BATCH_SIZE => 'many',
			OTEL_LINK_ATTRIBUTE_COUNT_LIMIT => -5);
	$node->start;
}
my $session = Session->new($node, 'postgres');
$session->ask('LOAD \'otel_links\'');

sub shown
{
	my ($expected, $test) = @_;
	foreach my $name (sort keys %$expected)
	{
		ok(OtelExport::wait_until(sub { $session->ask("SHOW $name") eq $expected->{$name} }),
			"$name: $test");
	}
}

shown(\%from_environment, 'the environment\'s value counts');
is($session->ask('SHOW otel.link_attribute_count_limit'), 128, 'a number out of range is ignored');
OtelExport::set($node, map { "$_ = '$from_file{$_}'" } sort keys %from_file);
shown(\%from_file, 'the configuration file comes before it');
$node->adjust_conf('postgresql.conf', $_, undef) foreach sort keys %from_file;
$node->reload;
shown(\%from_environment, 'without the line the environment counts again in a running session');
$session->quit;
$node->stop;

# A session that has loaded nothing yet knows why no exporter runs
{
	local %ENV = (%ENV, OTEL_TRACES_EXPORTER => 'none');
	$node->start;
}
OtelExport::record($node, 'kept', 1);
is($node->safe_psql('postgres', 'SELECT not_running_because FROM otel.export_status'),
	'otel.traces_exporter is none', 'export_status sees that the environment turns export off');
$node->stop;

done_testing();
