# What the exporter says: for each mistake in its configuration one clear line in the status and one
# in the log, however often it fails by it; few lines for a collector that comes and goes.
use strict;
use warnings;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $receiver = OtelExport->receiver;
my $node = OtelExport::node('main', $receiver);
my $good = $receiver->url;
my $dir = File::Temp::tempdir(CLEANUP => 1);
my $names = 0;

sub lines
{
	my ($offset, $pattern) = @_;
	return scalar(() = slurp_file($node->logfile, $offset) =~ /^.*$pattern/gm);
}

sub file
{
	my ($name, $content) = @_;
	append_to_file("$dir/$name", $content);
	return "$dir/$name";
}

# A span is recorded under the mistake; it arrives once the mistake is undone.
sub mistake
{
	my ($name, $settings, $undo, $expected) = @_;
	my $span = 'span' . ++$names;
	my $offset = -s $node->logfile;
	my $before = $receiver->requests;
	OtelExport::set($node, @$settings);
	OtelExport::record($node, $span, 1);
	ok(OtelExport::wait_until(sub {
				$node->safe_psql('postgres', 'SELECT otel.force_flush(200)');
				return OtelExport::status($node, 'last_error') =~ $expected;
			}), "$name: last_error says what is wrong")
	  or diag(OtelExport::status($node, 'last_error'));
	unlike(OtelExport::status($node, 'last_error'), qr/\n/, "$name: last_error is one line");

	# two more attempts
	foreach (1 .. 2)
	{
		my $at = OtelExport::status($node, 'last_error_at');
		OtelExport::wait_until(sub {
				$node->safe_psql('postgres', 'SELECT otel.force_flush(200)');
				return OtelExport::status($node, 'last_error_at') ne $at;
			});
	}
	is(lines($offset, qr/(WARNING|ERROR): .*/), 1, "$name: one line in the log for three failures")
	  or diag(slurp_file($node->logfile, $offset));
	like(slurp_file($node->logfile, $offset), $expected, "$name: the log says what is wrong");
	is($receiver->requests, $before, "$name: nothing is sent");
	OtelExport::set($node, @$undo);
	OtelExport::wait_drained($node);
	is_deeply([ $receiver->span_names(qr/^$span-/) ], ["$span-1"],
		"$name: the span arrives when it is mended");
}

my $endpoint = "otel.exporter_otlp_endpoint = '$good'";
foreach my $case (
	[ 'no scheme', '127.0.0.1:4318' ],
	[ 'a scheme of something else', 'ftp://127.0.0.1' ],
	[ 'no host', 'http://' ],
	[ 'no host, but a path', 'https:///v1/traces' ],
	[ 'a port that is too large', 'http://127.0.0.1:99999', ': .*(URL|[Pp]ort)' ],
	[ 'a port that is no number', 'http://127.0.0.1:otlp', ': .*(URL|[Pp]ort)' ])
{
	my ($name, $url, $more) = @$case;
	mistake("endpoint with $name", ["otel.exporter_otlp_endpoint = '$url'"], [$endpoint],
		qr/otel\.exporter_otlp_endpoint is not an http or https URL@{[$more || '']}/);
}
mistake('traces endpoint without a scheme', ["otel.exporter_otlp_traces_endpoint = 'collector'"],
	["otel.exporter_otlp_traces_endpoint = ''"],
	qr/otel\.exporter_otlp_traces_endpoint is not an http or https URL/);
mistake('traces endpoint with a port that is too large',
	["otel.exporter_otlp_traces_endpoint = 'http://127.0.0.1:99999'"],
	["otel.exporter_otlp_traces_endpoint = ''"],
	qr/otel\.exporter_otlp_traces_endpoint is not an http or https URL: /);
mistake('a host that does not exist',
	["otel.exporter_otlp_endpoint = 'http://collector.invalid:4318'"], [$endpoint],
	qr/resolve.*collector\.invalid/);

my $headers = 'otel.exporter_otlp_headers_file';
foreach my $case (
	[ 'missing', "$dir/none", qr/could not open \Q$headers\E: No such file/ ],
	[ 'a directory', $dir, qr/\Q$headers\E.*[Dd]irectory/ ],
	[ 'empty', file('empty', ''), qr/\Q$headers\E has no header/ ],
	[ 'a header as it is sent', file('colon', "Authorization: Bearer x\n"),
		qr/\Q$headers\E: line 1 is not key=value/ ],
	[ 'a broken escape', file('escape', "# key\nAuthorization=Bearer%2\n"),
		qr/\Q$headers\E: line 2 has a "%"/ ])
{
	my ($name, $file, $expected) = @$case;
	mistake("headers file: $name", ["$headers = '$file'"], ["$headers = ''"], $expected);
}

# Files for TLS are read when a connection has been made, before anything is said on it.
(my $tls = "otel.exporter_otlp_endpoint = '$good'") =~ s/http:/https:/;
foreach my $name (qw(client other))
{
	run_log([ 'openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', "/CN=$name",
		'-keyout', "$dir/$name.key", '-out', "$dir/$name.pem" ]);
}
my $certificate = "otel.exporter_otlp_client_certificate = '$dir/client.pem'";
my $none = "otel.exporter_otlp_client_certificate = ''";
foreach my $setting (qw(certificate client_certificate client_key))
{
	my @needs = $setting eq 'client_key' ? ($certificate) : ();
	foreach my $case ([ 'missing', "$dir/none.pem" ],
		[ 'no PEM', file("$setting.pem", "not a certificate\n") ],
		$setting eq 'client_key' ? ([ 'of another certificate', "$dir/other.key" ]) : ())
	{
		my ($name, $path) = @$case;
		mistake("otel.exporter_otlp_$setting: $name",
			[ $tls, @needs, "otel.exporter_otlp_$setting = '$path'" ],
			[ $endpoint, $none, "otel.exporter_otlp_$setting = ''" ],
			qr/otel\.exporter_otlp_$setting\b.* cannot be used: /);
	}
}

# Mistakes that do not keep it from sending
my $offset = -s $node->logfile;
OtelExport::set($node, "otel.resource_attributes = 'a=1,b'");
foreach my $round (1 .. 3)
{
	OtelExport::record($node, "attributes $round", 1);
	OtelExport::wait_drained($node);
}
is(OtelExport::status($node, 'last_error'),
	'ignoring otel.resource_attributes: pair 2 is not key=value',
	'malformed resource attributes: last_error says what is wrong');
is(lines($offset, qr/WARNING: .*ignoring otel\.resource_attributes/), 1,
	'malformed resource attributes: one line in the log for three batches');
OtelExport::set($node, "otel.resource_attributes = ''");
$offset = -s $node->logfile;
OtelExport::set($node, "otel.exporter_otlp_compression = 'zip'");
OtelExport::record($node, 'compression', 1);
OtelExport::wait_drained($node);
cmp_ok(lines($offset, qr/invalid value for parameter "otel\.exporter_otlp_compression": "zip"/),
	'>=', 1, 'a word that is no choice: each session that loads the library says so in the log');
is_deeply([ $receiver->span_names(qr/^compression-/) ], ['compression-1'],
	'a word that is no choice does not keep the exporter from sending');
OtelExport::set($node, "otel.exporter_otlp_compression = 'none'");

# Headers of the environment
{
	local %ENV = (%ENV, OTEL_EXPORTER_OTLP_HEADERS => 'api-key');
	$node->restart;
}
$offset = -s $node->logfile;
OtelExport::record($node, 'environment', 1);
ok(OtelExport::wait_sql($node, q{SELECT last_error = 'environment variable '
	'OTEL_EXPORTER_OTLP_HEADERS: pair 1 is not key=value' FROM otel.export_status}),
	'headers in the environment: last_error says what is wrong')
  or diag(OtelExport::status($node, 'last_error'));
$node->safe_psql('postgres', 'SELECT otel.force_flush(2500)');
is(lines($offset, qr/WARNING: .*OTEL_EXPORTER_OTLP_HEADERS/), 1,
	'headers in the environment: one line in the log');
$node->restart;
OtelExport::record($node, 'after', 1);
OtelExport::wait_drained($node);

# A collector that takes every second request
$offset = -s $node->logfile;
my $count = 8;
$receiver->answer(map { { status => 503 }, {} } 1 .. $count);
foreach my $round (1 .. $count)
{
	OtelExport::record($node, "flapping $round", 1);
	OtelExport::wait_until(sub {
			$node->safe_psql('postgres', 'SELECT otel.force_flush(500)');
			return OtelExport::status($node, 'pending') == 0;
		});
}
is(scalar(grep { $_->{status} == 503 } $receiver->requests), $count,
	'the collector failed every second request');
is(lines($offset, qr/cannot export spans/), 1,
	'a collector that comes and goes is one line in the log, and not one each time');
is(lines($offset, qr/exports spans again/), 1, 'exporting again is one line in the log');

done_testing();
