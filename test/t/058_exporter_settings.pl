# Settings with wrong values: the exporter says so, clients hear nothing of it, and no setting of
# the database keeps it from exporting.
use strict;
use warnings;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $receiver = OtelExport->receiver;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
# Each exporter that is ended keeps its worker slot for five seconds.
OtelExport::configure($node, $receiver, 'max_worker_processes = 40');
my %environment = (
	OTEL_EXPORTER_OTLP_PROTOCOL => 'grpc',
	OTEL_TRACES_EXPORTER => 'otlp,console',
	OTEL_EXPORTER_OTLP_TRACES_COMPRESSION => 'zstd',
	OTEL_EXPORTER_OTLP_COMPRESSION => 'gzip',
	OTEL_BSP_EXPORT_TIMEOUT => 'soon',
	OTEL_SDK_DISABLED => 'no',
	OTEL_TRACES_SAMPLER => 'parentbased_jaeger_remote',
	OTEL_TRACES_SAMPLER_ARG => 'endpoint=http://127.0.0.1:14250',
	OTEL_SPAN_LINK_COUNT_LIMIT => -5,
	OTEL_CONFIG_FILE => '/etc/otel.yaml');
{
	local %ENV = (%ENV, %environment);
	$node->start;
}
$node->safe_psql('postgres', 'CREATE EXTENSION otel_links');

sub arrived
{
	my ($name, $test) = @_;
	OtelExport::record($node, $name, 1);
	ok(OtelExport::wait_until(sub { $receiver->span_names(qr/^$name-1$/) == 1 }, 30), $test);
}

# A server environment that is meant for SDKs
my ($code, $out, $err) = $node->psql('postgres',
	q{SELECT otel.record_span('client', now()) IS NOT NULL});
is($err, '', 'what the environment has for SDKs warns no client');
arrived('environment', 'values of the environment that make no sense are as if not set');
my $request = ($receiver->requests)[-1];
is($request->{headers}{'content-type'}, 'application/x-protobuf',
	'grpc in the environment means http/protobuf');
is($request->{headers}{'content-encoding'}, 'gzip',
	'a value that makes no sense does not hide the general one');
my $log = slurp_file($node->logfile);
foreach my $variable (grep { !/OTLP_COMPRESSION/ } sort keys %environment)
{
	is(scalar(() = $log =~ /WARNING: .*environment variable $variable\b/g), 1,
		"the exporter says once in the log that it does not follow $variable");
}
like(OtelExport::status($node, 'last_error'), qr/environment variable OTEL_/,
	'last_error says that a variable is not followed');

# Choices
is($node->safe_psql('postgres', q{LOAD 'otel_links';
	SELECT enumvals FROM pg_settings WHERE name = 'otel.traces_exporter'}), '{otlp,none}',
	'pg_settings lists the words of a setting that is a choice');
($code, $out, $err) = $node->psql('postgres',
	q{LOAD 'otel_links'; SET otel.link_overflow = 'often'});
like($err,
	qr/ERROR: +invalid value for parameter "otel.link_overflow".*HINT: +Available values: .*split/s,
	'SET to a word that is none of a choice is an error with a hint');
OtelExport::wait_drained($node);
$node->safe_psql('postgres', q{ALTER DATABASE postgres SET otel.exporter_otlp_compression = 'zip'});
arrived('misconfigured',
	'a word of ALTER DATABASE that is none of a choice does not stop the exporter');
$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET otel.exporter_otlp_compression');
($code, $out, $err) = $node->psql('postgres',
	q{SET otel.exporter_oltp_endpoint = 'x'; LOAD 'otel_links'});
like($err, qr/WARNING: +otel_links has no parameter "otel.exporter_oltp_endpoint"/,
	'a misspelled name warns when the library is loaded');
($code, $out, $err) = $node->psql('postgres', q{SET otel.tenant = 'x'; LOAD 'otel_links'});
is($err, '', 'a name that an application may have chosen does not warn');

# Nothing that ALTER DATABASE sets keeps the exporter from its work.
$node->safe_psql('postgres', 'CREATE ROLE app_owner; CREATE SCHEMA app_schema');
foreach my $setting ("role = 'app_owner'", "session_authorization = 'app_owner'",
	'default_transaction_read_only = on',
	"default_transaction_isolation = 'serializable'", 'row_security = off',
		"search_path = 'app_schema'", 'lock_timeout = 1',
	'statement_timeout = 1', 'idle_in_transaction_session_timeout = 1',
		"default_tablespace = 'nowhere'",
	"client_encoding = 'LATIN1'", "log_statement = 'all'", "lc_messages = 'C'",
		"default_table_access_method = 'heap'",
	"session_replication_role = 'replica'", 'enable_seqscan = off')
{
	my ($name) = $setting =~ /^(\w+)/;
	$node->psql('postgres', "ALTER DATABASE postgres SET $setting");
	$node->safe_psql('template1', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE backend_type = 'otel_links exporter'});
	$node->psql('postgres',
		"SET SESSION AUTHORIZATION DEFAULT; SET ROLE NONE; SET statement_timeout = 0;
		SET idle_in_transaction_session_timeout = 0;
		BEGIN READ WRITE; SELECT otel.record_span('under $name', now()) IS NOT NULL; COMMIT");
	ok(OtelExport::wait_until(sub { $receiver->span_names(qr/^under $name$/) == 1 }, 30),
		"the exporter works under ALTER DATABASE … SET $name");
	$node->psql('template1', "ALTER DATABASE postgres RESET $name");
}

# Many exporters have started since.
$log = slurp_file($node->logfile);
foreach my $variable (grep { !/OTLP_COMPRESSION/ } sort keys %environment)
{
	is(scalar(() = $log =~ /WARNING: .*environment variable $variable\b/g), 1,
		"exporters that start later do not repeat that $variable is not followed");
}

# The resource
$node->safe_psql('postgres', 'CREATE DATABASE second');
$node->safe_psql('second', 'CREATE EXTENSION otel_links');
my $many = join ',', map { "key.$_=value%0A$_" } 1 .. 200;
OtelExport::set($node, "otel.resource_attributes = '$many'");
arrived('resource', 'a resource may have two hundred attributes');
my ($span) = grep { $_->{name} eq 'resource-1' } $receiver->spans;
is($span->{resource}{attributes}{'key.200'}, "value\n200",
	'the value of a resource attribute may have a line end');
OtelExport::record($node, 'second', 1, 'second');
OtelExport::wait_drained($node, 'second');
my ($other) = grep { $_->{name} eq 'second-1' } $receiver->spans;
ok($other, 'spans of a second database arrive');
isnt($other->{resource}{attributes}{'service.instance.id'},
	$span->{resource}{attributes}{'service.instance.id'},
	'each database has a service.instance.id of its own');
OtelExport::set($node, "otel.resource_attributes = 'a=1,b'");
arrived('malformed', 'malformed otel.resource_attributes do not stop the exporter');
is(OtelExport::status($node, 'last_error'),
	'ignoring otel.resource_attributes: pair 2 is not key=value',
	'last_error says what is wrong with otel.resource_attributes');

# An endpoint that is none
my $offset = -s $node->logfile;
OtelExport::set($node, "otel.exporter_otlp_traces_endpoint = 'collector:4318'");
OtelExport::record($node, 'nowhere', 1);
ok(OtelExport::wait_sql($node,
	q{SELECT last_error = 'otel.exporter_otlp_traces_endpoint is not an http or https URL'
	FROM otel.export_status}), 'last_error names the endpoint that is no URL');
is(scalar(() = slurp_file($node->logfile,
	$offset) =~ /cannot export spans: otel.exporter_otlp_traces_endpoint/g), 1,
	'the log has one line for an endpoint that is no URL');

# What the process is called
is($node->safe_psql('postgres', q{SELECT application_name FROM pg_stat_activity
	WHERE backend_type = 'otel_links exporter' AND datname = 'postgres'}),
		'otel_links exporter: postgres',
	'pg_stat_activity names the exporter and its database');

done_testing();
