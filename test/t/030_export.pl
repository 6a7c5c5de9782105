# From a commit to the collector: what arrives, in both protocols, and what the status says.
use strict;
use warnings;
use JSON::PP;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

my $receiver = OtelExport->receiver;
my $node = OtelExport::node('main', $receiver, 'otel.exporter_idle_timeout = 600000');
my $sender = q{
	SELECT otel.record_span('NAME', '2024-01-02 03:04:05.678901+00', '2024-01-02 03:04:06+00',
		kind => 'consumer',
		parent => otel.from_traceparent('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
			'a=b'),
		links => ARRAY[
			otel.span_link(otel.from_traceparent(
				'00-1af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-03', 'x=y'),
				'{"report.id": 7, "": "no key"}'),
			otel.span_link(otel.from_traceparent('00-2af7651916cd43dd8448eb211c80319c-d7ad6b7169203331-00'))],
		attributes => '{"text": "with \"quotes\", \\\\ and ü", "integer": -9223372036854775808,
			"large": 9223372036854775808,
			"real": 1.5, "yes": true, "nothing": null, "list": [1, "two", [3.5, null]],
			"object": {"inner": {"deep": []}},
			"empty": ""}',
		status => 'error', message => 'went "wrong"')
};

# What both protocols must say of that span.
sub check_span
{
	my ($name, $span) = @_;
	is($span->{trace_id}, '0af7651916cd43dd8448eb211c80319c',
		"$name: the trace id is the parent's");
	is($span->{parent_span_id}, 'b7ad6b7169203331', "$name: the parent span id is sent");
	like($span->{span_id}, qr/^[0-9a-f]{16}$/, "$name: the span id is 16 hex digits");
	is($span->{trace_state}, 'a=b', "$name: the tracestate is the parent's");
	is($span->{flags}, 0x301, "$name: the flags say sampled, with a remote parent");
	is($span->{kind}, 'consumer', "$name: the kind is sent");
	is($span->{start_time_unix_nano}, '1704164645678901000',
		"$name: the start time is sent to the microsecond");
	is($span->{end_time_unix_nano}, '1704164646000000000', "$name: the end time is sent");
	is_deeply($span->{status}, { code => 'error', message => 'went "wrong"' },
		"$name: the status and its message are sent");
	is_deeply($span->{attribute_types}, {
			text => 'string_value', integer => 'int_value', large => 'string_value',
				real => 'double_value',
			yes => 'bool_value', nothing => undef, list => 'array_value', object => 'kvlist_value',
				empty => 'string_value'
		}, "$name: each attribute has the kind of its JSON value");
	my $json = JSON::PP->new->canonical->allow_nonref;
	is($json->encode($span->{attributes}), $json->encode($json->decode(
			'{"text": "with \"quotes\", \\\\ and \u00fc", "integer": -9223372036854775808,
			"large": "9223372036854775808",
			"real": 1.5, "yes": true, "nothing": null, "list": [1, "two", [3.5, null]],
			"object": {"inner": {"deep": []}},
			"empty": ""}')), "$name: attributes keep their values");
	is(scalar @{ $span->{links} }, 2, "$name: both links are sent");
	is_deeply([ map { $_->{trace_id} } @{ $span->{links} } ],
		[qw(1af7651916cd43dd8448eb211c80319c 2af7651916cd43dd8448eb211c80319c)],
			"$name: links are sent in order");
	is($span->{links}[0]{trace_state}, 'x=y', "$name: a link has its tracestate");
	is($span->{links}[0]{flags}, 0x303, "$name: a link's flags say that it is remote");
	is($span->{links}[1]{flags}, 0x300, "$name: an unsampled link's flags say so");
	is_deeply($span->{links}[0]{attributes}, { 'report.id' => 7 },
		"$name: a link has its attributes");
	is($span->{scope}{name}, 'otel_links', "$name: the scope is otel_links");
	is($span->{resource}{attributes}{'service.name'}, 'unknown_service:postgres',
		"$name: the resource has service.name");
	is($span->{resource}{attributes}{'db.namespace'}, 'postgres',
		"$name: the resource names the database");
	is($span->{resource}{attributes}{'telemetry.sdk.name'}, 'otel_links',
		"$name: the resource names the SDK");
	like($span->{resource}{schema_url}, qr{^https://opentelemetry.io/schemas/},
		"$name: the schema URL is sent");
}

foreach my $case ([ 'protobuf', 'http/protobuf', 'none' ],
	[ 'protobuf gzip', 'http/protobuf', 'gzip' ],
	[ 'json', 'http/json', 'none' ], [ 'json gzip', 'http/json', 'gzip' ])
{
	my ($name, $protocol, $compression) = @$case;
	OtelExport::set($node, "otel.exporter_otlp_protocol = '$protocol'",
		"otel.exporter_otlp_compression = '$compression'");
	# the exporter has seen the reload once it has exported something in the new way
	OtelExport::wait_until(sub {
			OtelExport::record($node, 'probe');
			$node->safe_psql('postgres', 'SELECT otel.force_flush()');
			my $headers = ($receiver->requests)[-1]{headers};
			return $headers->{'content-type'} eq ($protocol eq 'http/json' ? 'application/json'
				: 'application/x-protobuf')
			  && ($headers->{'content-encoding'} // 'none') eq $compression;
		}) or fail("$name: the reload is seen");
	$node->safe_psql('postgres', $sender =~ s/NAME/$name/r);
	is($node->safe_psql('postgres', 'SELECT otel.force_flush()') <= 1, 1,
		"$name: force_flush() reports the span");
	my ($span) = grep { $_->{name} eq $name } $receiver->spans;
	ok($span, "$name: the span has arrived when force_flush() returns") or next;
	check_span($name, $span);
}
$node->safe_psql('postgres', q{
	SELECT otel.record_span('beyond', now(),
		attributes => jsonb_build_object('n', 1e400::numeric + 0.5));
	SELECT otel.force_flush()});
my ($beyond) = grep { $_->{name} eq 'beyond' } $receiver->spans;
like($beyond->{attributes}{n}, qr/^10+\.5$/, 'a number beyond what a double holds');
is($beyond->{attribute_types}{n}, 'string_value',
	'a number beyond what a double holds is sent as text');
like(($receiver->requests)[-1]{headers}{'user-agent'}, qr{^otel_links/\S+ OTel-OTLP-Exporter-C/\d},
	'the user agent names the distribution and then the exporter');
is(($receiver->requests)[-1]{path}, '/v1/traces', 'v1/traces is appended to the base endpoint');

# Transactions
$node->safe_psql('postgres', q{
	BEGIN; SELECT otel.record_span('rolled back', now()); ROLLBACK;
	BEGIN; SELECT otel.record_span('committed', now()); COMMIT;
	SELECT otel.force_flush();
});
is(($receiver->span_names(qr/^committed/))[0], 'committed', 'a committed span arrives');
ok(!grep({ $_->{name} eq 'rolled back' && $_->{status}{code} ne 'error' } $receiver->spans),
	'a span that was rolled back arrives at most as an error');

# A batch
OtelExport::record_batch($node, 'many', 2000);
$node->safe_psql('postgres', 'SELECT otel.force_flush()');
is_deeply([ $receiver->span_names(qr/^many-/) ], [ OtelExport::names('many', 2000) ],
	'2,000 spans of one transaction arrive');
is($receiver->duplicates, 0, 'each of the 2,000 spans arrives once');
cmp_ok((sort { $b <=> $a } map { $_->{spans} } $receiver->requests)[0], '==', 512,
	'2,000 spans are sent in batches of 512');
is(OtelExport::status($node,
	'pending = 0 AND failed = 0 AND dropped = 0 AND rejected = 0 AND exporter_running'
	  . q{ AND last_success > now() - interval '1 minute' AND oldest_age IS NULL}
	  . ' AND last_error IS NULL'), 't',
		'the status says that nothing is pending');
is(OtelExport::status($node, 'exported'), scalar($receiver->spans),
	'the status counts what was exported');

# A worker that the database's settings hold back sees when they no longer do
my $before = OtelExport::status($node, 'exporter_pid');
$node->safe_psql('postgres', q{ALTER DATABASE postgres SET otel.traces_exporter = 'none'});
ok(OtelExport::wait_sql($node, "SELECT exporter_pid <> $before FROM otel.export_status"),
	'a worker with the new settings runs');
OtelExport::record($node, 'held', 1);
is(OtelExport::status($node, 'pending'), 1,
	'ALTER DATABASE … SET otel.traces_exporter = none holds spans back');
$node->safe_psql('postgres', q{ALTER DATABASE postgres RESET otel.traces_exporter});
OtelExport::wait_drained($node);
is_deeply([ $receiver->span_names(qr/^held/) ], ['held-1'],
	'spans held back are exported when that is over, by the same worker');

# ALTER DATABASE … SET counts without a restart or reload
$node->safe_psql('postgres', q{ALTER DATABASE postgres SET otel.service_name = 'reports';
	ALTER DATABASE postgres
		SET otel.resource_attributes = 'deployment.environment.name=test%20site,host.name=mine'});
OtelExport::record($node, 'named');
OtelExport::wait_drained($node);
my ($named) = grep { $_->{name} eq 'named-1' } $receiver->spans;
is($named->{resource}{attributes}{'service.name'}, 'reports',
	'the resource has the database\'s otel.service_name');
is($named->{resource}{attributes}{'deployment.environment.name'}, 'test site',
	'the resource has the decoded otel.resource_attributes');
is($named->{resource}{attributes}{'host.name'}, 'mine',
	'otel.resource_attributes win over what the exporter found out');

# Several databases at once
foreach my $name (qw(one two))
{
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name, 'CREATE EXTENSION otel_links');
	OtelExport::record($node, "in_$name", 3, $name);
}
OtelExport::wait_drained($node, $_) foreach qw(one two);
is_deeply([ map { $_->{resource}{attributes}{'db.namespace'} } sort { $a->{name} cmp $b->{name} }
	grep { $_->{name} =~ /^in_/ } $receiver->spans ],
	[qw(one one one two two two)], 'each database\'s spans name their own database');
is($node->safe_psql('postgres',
	q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'otel_links exporter'}), 3,
	'each database has one exporter');

# Privileges
$node->safe_psql('postgres', 'CREATE ROLE app; CREATE ROLE monitor IN ROLE pg_monitor');
OtelExport::set($node, "otel.bsp_schedule_delay = 600000");
is($node->safe_psql('postgres',
	q{SET ROLE app; SELECT otel.record_span('by app', now()) IS NOT NULL}), 't',
	'any role may record spans');
foreach my $table (qw(span_queue failed_spans exported_spans exporter_state export_status))
{
	my ($code, $out, $err) = $node->psql('postgres', "SET ROLE app; SELECT * FROM otel.$table");
	like($err, qr/permission denied/, "a role without privileges does not see otel.$table");
}
my ($code, $out, $err) = $node->psql('postgres', 'SET ROLE app; SELECT otel.retry_failed()');
like($err, qr/permission denied/, 'a role without privileges may not call otel.retry_failed()');
is($node->safe_psql('postgres', 'SET ROLE monitor; SELECT exported > 0 FROM otel.export_status'),
	't',
	'pg_monitor may read otel.export_status');

# What a backend has mapped that captures and records
my $session = Session->new($node, 'postgres');
$session->ask('CREATE TABLE captured
	(context otel.trace_context DEFAULT otel.current_trace_context())');
$session->quit;
SKIP:
{
	skip 'needs /proc', 3 unless -r '/proc/self/smaps';
	$session = Session->new($node, 'postgres');
	my $pid = $session->ask('SELECT pg_backend_pid()');
	my @before = libraries($pid);
	$session->ask('INSERT INTO captured DEFAULT VALUES');
	$session->ask(q{SELECT otel.record_span('mapped', now()) IS NOT NULL});
	$session->ask('SELECT otel.force_flush(0)');
	my %before = map { $_ => 1 } @before;
	my @more = grep { !$before{$_} } libraries($pid);
	is_deeply(\@more, ['otel_links.so'],
		'capture and recording bring a backend otel_links.so, no libcurl and no libz');
	is(scalar(grep { /libcurl/ } @before, @more), 0, 'libcurl is not mapped from elsewhere either');
	cmp_ok(own_kilobytes($pid), '<', 32,
		'capture and recording cost a backend less than 32 kB of private memory');
	$session->quit;
}

# The shared libraries of a process.
sub libraries
{
	my ($pid) = @_;
	my %seen = map { $_ => 1 } slurp_file("/proc/$pid/maps") =~ m{/([^/\s]+\.so[.\d]*)$}mg;
	my @names = sort keys %seen;
	return @names;
}

# The memory that a process has of our libraries for itself alone, in kB.
sub own_kilobytes
{
	my ($pid) = @_;
	my ($ours, $total) = (0, 0);
	foreach my $line (split /\n/, slurp_file("/proc/$pid/smaps"))
	{
		$ours = $line =~ /otel_links/ if $line =~ /^[0-9a-f]+-[0-9a-f]+ /;
		$total += $1 if $ours && $line =~ /^Anonymous: +(\d+) kB/;
	}
	return $total;
}

done_testing();
