# Networks and servers that misbehave below HTTP, and TLS: nothing is lost, and the exporter goes
# on.
use strict;
use warnings;
use IO::Socket::INET;
use JSON::PP;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $receiver = OtelExport->receiver;
my $node = OtelExport::node('main', $receiver, 'otel.exporter_otlp_timeout = 500');
my $good = $receiver->url;

sub endpoint
{
	my ($url, @settings) = @_;
	OtelExport::set($node, "otel.exporter_otlp_endpoint = '$url'", @settings);
}

sub arrived
{
	my ($name, $count, $test) = @_;
	endpoint($good);
	OtelExport::wait_drained($node)
	  or diag($node->safe_psql('postgres', 'TABLE otel.export_status'));
	is_deeply([ $receiver->span_names(qr/^$name-/) ], [ OtelExport::names($name, $count) ], $test);
}

sub wait_error
{
	my ($pattern, $since, $test) = @_;
	ok(OtelExport::wait_sql($node,
		"SELECT last_error ~* '$pattern' AND last_error_at > '$since' FROM otel.export_status"),
			$test)
	  or diag(OtelExport::status($node, 'last_error'));
}

# The exporter has taken the setting once it has failed by it; what waits is then exported by the
# next one.
sub unreachable
{
	my ($name, $url, $pattern, @settings) = @_;
	my $since = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
	endpoint($url, @settings);
	OtelExport::record($node, $name, 3);
	wait_error($pattern, $since, "$name: last_error says what is wrong");
	is(OtelExport::status($node, 'pending'), 3, "$name: the spans stay pending");
	arrived($name, 3, "$name: the spans arrive when it is over");
}

# A port on which nobody listens
my $free = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die $!;
my $closed = $free->sockport;
$free->close;
unreachable('refused', "http://127.0.0.1:$closed", 'refused|failed to connect|couldn.t connect');
unreachable('unresolved', 'http://collector.invalid:4318', 'resolve');
unreachable('nonsense', 'no url at all', 'not an http or https URL');
unreachable('scheme', 'file:///etc/passwd', 'not an http or https URL');

foreach my $case ([ 'hang', 'timed? ?out|time-?out' ], [ 'deaf', 'timed? ?out|time-?out' ],
	[ 'reset', 'reset|recv|closed|empty reply' ], [ 'garbage', 'HTTP/0.9|unsupported|weird' ],
	[ 'truncated', 'transfer closed|partial|end of response' ])
{
	my ($fault, $pattern) = @$case;
	my $server = OtelExport->start_program('faulty.py', '--fault', $fault);
	unreachable($fault, $server->url, $pattern);
	$server->stop;
}

# A large span that the network does not let through, whatever is sent of it, does not keep the
# others back.  It is tried five times in a quarter of a minute, while the rest of this file runs.
my %large;
foreach my $fault (qw(reset deaf))
{
	$large{$fault} = OtelExport->start_program('faulty.py', '--fault', $fault);
	$node->safe_psql('postgres', "CREATE DATABASE large_$fault");
	$node->safe_psql("large_$fault", "CREATE EXTENSION otel_links;
		ALTER DATABASE large_$fault SET otel.exporter_otlp_timeout = 500;
		ALTER DATABASE large_$fault SET otel.exporter_otlp_headers_file = '';
		ALTER DATABASE large_$fault SET otel.exporter_otlp_endpoint = '"
		  . $large{$fault}->url . "'");
	$node->safe_psql("large_$fault", "SELECT otel.record_span('large $fault-1', now(),
		attributes => jsonb_build_object('text', repeat('x', 2000000)))");
}

# Answers that cannot be taken at their word: a response over the cap sets the batch aside, and so
# does a page for people …
my %set_aside = (huge => 'the response is larger than 4 MiB',
	html => 'HTTP status 200 with a web page: not an OTLP endpoint');
foreach my $fault (sort keys %set_aside)
{
	my $log = "$receiver->{files}/$fault.log";
	my $server = OtelExport->start_program('faulty.py', '--fault', $fault, '--log', $log);
	endpoint($server->url, 'otel.exporter_otlp_timeout = 60000');
	OtelExport::record_batch($node, $fault, 3);
	OtelExport::wait_sql($node, 'SELECT failed = 3 FROM otel.export_status');
	is($node->safe_psql('postgres', 'SELECT DISTINCT error FROM otel.failed_spans'),
		$set_aside{$fault},
		"$fault: the batch is set aside with the reason");
	OtelExport::wait_until(sub { slurp_file($log) =~ /wrote/ });
	my ($written) = slurp_file($log) =~ /wrote (\d+)/;
	cmp_ok($written, '<', 64 * 1024 * 1024,
		"$fault: the exporter stops reading an endless response");
	$server->stop;
	endpoint($good);
	$node->safe_psql('postgres', 'SELECT otel.retry_failed()');
	arrived($fault, 3, "$fault: the batch arrives when queued again");
}

# … and what says 200 without saying it in OTLP has taken them, with a note of it
foreach my $fault (qw(odd bomb))
{
	my $server = OtelExport->start_program('faulty.py', '--fault', $fault);
	my $exported = OtelExport::status($node, 'exported');
	endpoint($server->url, 'otel.exporter_otlp_timeout = 60000');
	OtelExport::record_batch($node, $fault, 3);
	OtelExport::wait_drained($node);
	is(OtelExport::status($node, 'exported') - $exported, 3,
		"$fault: a 200 that is not OTLP counts as exported");
	is(OtelExport::status($node, 'last_error'),
		'HTTP status 200 with a body that is no ExportTraceServiceResponse',
		"$fault: last_error notes a 200 that is not OTLP");
	$server->stop;
}
my $pid = OtelExport::status($node, 'exporter_pid');
my ($peak) = slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB/m;
my ($shared) = slurp_file("/proc/$pid/status") =~ /^RssShmem:\s+(\d+) kB/m;
note("peak $peak kB, $shared kB of it shared memory");
cmp_ok($peak - $shared, '<', 32 * 1024, 'answers of any size leave the exporter below 32 MB');

# Headers from the environment and the file, kept from view
my $secret = 'k3y-that-nobody-may-see';
my $file = "$receiver->{files}/headers";
append_to_file($file, "Authorization=Bearer%20$secret\nX-Tenant = acme , X-Empty=\n");
endpoint($good, "otel.exporter_otlp_headers_file = '$file'");
OtelExport::record($node, 'headers', 1);
arrived('headers', 1, 'a span with configured headers arrives');
my $headers = ($receiver->requests)[-1]{headers};
is($headers->{authorization}, "Bearer $secret", 'a header of the headers file is percent-decoded');
is($headers->{'x-tenant'}, 'acme', 'white space around a header is not part of it');
is($headers->{'x-empty'}, '', 'a header may have no value');
$receiver->answer({ status => 401, body => "{\"message\": \"no such key: $secret\"}",
	headers => { 'Content-Type' => 'application/json' } });
OtelExport::record($node, 'echo', 1);
OtelExport::wait_sql($node, 'SELECT failed = 1 FROM otel.export_status');
like(OtelExport::status($node, 'last_error'), qr/^HTTP status 401: no such key: \*+$/,
	'a server that quotes the key does not make it public');
unlike(slurp_file($node->logfile), qr/$secret/, 'a key that the server quotes is not in the log');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_settings WHERE setting LIKE '%$secret%'"),
	0,
	'a key of the headers file is not in pg_settings');

# Has the receiver take what waits, so that the next failure is the first in a row again.
sub accepted
{
	$receiver->answer();
	OtelExport::set($node, '# a reload has the exporter try again at once');
	OtelExport::record($node, 'accepted', 1);
	return OtelExport::wait_drained($node);
}

# The message is cut to some 500 bytes, which may be in the middle of a key
accepted();
my $long = join '', map { chr(65 + $_ % 26) } 1 .. 800;
foreach my $case (
	[ 'a key longer than a message', "X-Key=$long", $long, qr/\*{100}/ ],
	[ 'a key behind its scheme', "Authorization=Bearer%20$long", "you sent Bearer $long",
		qr/you sent Bearer \*{100}/ ],
	[ 'a key that is cut', 'X-Key=t0p-secret-key', ('.' x 500) . 't0p-secret-key',
		qr/\.{500}\*+$/ ],
	[ 'a value that ends in a space', 'X-Key=t0p-secret-key%20', 'no t0p-secret-key', qr/no \*+$/ ],
	[ 'two keys in a value', 'X-Keys=t0p-one%20t0p-two', 't0p-one is old, t0p-two is new',
		qr/\*+ is old, \*+ is new$/ ])
{
	my ($name, $header, $quoted, $shown) = @$case;
	unlink $file;
	append_to_file($file, "$header\n");
	$receiver->answer({ status => 401, body => encode_json({ message => $quoted }),
		headers => { 'Content-Type' => 'application/json' } });
	my $offset = -s $node->logfile;
	$node->safe_psql('postgres', 'SELECT otel.retry_failed()');
	$node->safe_psql('postgres', 'SELECT otel.force_flush(500)');
	OtelExport::wait_sql($node, 'SELECT failed = 1 FROM otel.export_status');
	like(OtelExport::status($node, 'last_error'), $shown, "$name: last_error masks it");
	unlike($node->safe_psql('postgres',
		'SELECT last_error, error FROM otel.export_status, otel.failed_spans')
			. slurp_file($node->logfile, $offset),
		qr/t0p|ABCD/, "$name: neither the status, failed_spans nor the log shows it");
	accepted();
}
unlink $file;

# Nothing is sent without the headers that are configured for it
my $sent = scalar $receiver->requests;
my $before_files = -s $node->logfile;
$node->safe_psql('postgres', 'SELECT otel.retry_failed()');
foreach my $case (
	[ 'CR and LF in a value', "Authorization=Bearer%20rotated%0d%0aEvil: yes\n",
		'line 1 has a control character' ],
	[ 'a line written as a header', "X-A=1\nauthorization: Bearer $secret\n",
		'line 2 is not key=value' ],
	[ 'a name that is no token', "X A=1\n", 'line 1 does not begin with a name' ],
	[ 'a broken escape', "# ours\n\nX-A=100%zz\n", 'line 3 has a "%"' ],
	[ 'nothing but comments', "# nothing\n", 'has no header' ],
	[ 'a missing file', undef, 'could not open otel.exporter_otlp_headers_file: No such file' ])
{
	my ($name, $content, $problem) = @$case;
	my $offset = -s $node->logfile;
	if (defined $content)
	{
		append_to_file("$file.new", $content);
		rename "$file.new", $file or die "$file: $!";
	}
	else
	{
		unlink $file;
	}
	ok(OtelExport::wait_until(sub {
				$node->safe_psql('postgres', 'SELECT otel.force_flush(200)');
				return OtelExport::status($node, 'last_error') =~ /\Q$problem\E/;
			}), "headers file with $name: last_error says what is wrong");
	$node->safe_psql('postgres', 'SELECT otel.force_flush(1500)');
	is(scalar(() = slurp_file($node->logfile, $offset) =~ /cannot export spans: .*\Q$problem\E/g),
		1,
		"headers file with $name: one line in the log");
}
is(scalar $receiver->requests, $sent, 'nothing is sent while the headers cannot be had');
unlike(slurp_file($node->logfile, $before_files), qr/$secret/,
	'no line in the log shows what is in the file');
append_to_file($file, "# our collector's key\n\n  X-Tenant=acme%20corp\nX-%41=kept\n");
arrived('echo', 1, 'spans that waited for a usable headers file are sent with it');
$headers = ($receiver->requests)[-1]{headers};
is($headers->{'x-tenant'}, 'acme corp',
	'comments and blank lines in the headers file are passed over');
is($headers->{'x-%41'}, 'kept', 'the name of a header is a token, not percent-encoded');
OtelExport::set($node, "otel.exporter_otlp_headers_file = ''");

# The large spans
foreach my $fault (sort keys %large)
{
	OtelExport::wait_sql($node, 'SELECT failed = 1 FROM otel.export_status', "large_$fault");
	is(OtelExport::status($node, "pending || ' ' || failed", "large_$fault"), '0 1',
		"$fault: a large span is set aside");
	$large{$fault}->stop;
	$node->safe_psql("large_$fault", "ALTER DATABASE large_$fault SET
		otel.exporter_otlp_endpoint = '$good'");
	$node->safe_psql("large_$fault", 'SELECT otel.retry_failed()');
	OtelExport::wait_drained($node, "large_$fault");
	is_deeply([ $receiver->span_names(qr/^large $fault/) ], ["large $fault-1"],
		"$fault: the large span arrives when queued again");
}

# TLS
my $tls = File::Temp::tempdir(CLEANUP => 1);

# A key and certificate: name, issuer, days, subject alternative name, further options
sub certificate
{
	my ($name, $issuer, $days, $san) = @_;
	my @new = ('openssl', 'req', '-newkey', 'rsa:2048', '-nodes', '-keyout', "$tls/$name.key",
		'-subj', "/CN=$name");
	if (!$issuer)
	{
		run_log([ @new, '-x509', '-days', $days, '-out', "$tls/$name.crt",
			$san ? ('-addext', "subjectAltName=$san") : () ]);
		return;
	}
	append_to_file("$tls/$name.ext", "subjectAltName=$san\n");
	run_log([ @new, '-out', "$tls/$name.csr" ]);
	# openssl x509 takes no day in the past but by -days of a faked clock: ca does
	append_to_file("$tls/ca.cnf",
		"[ca]\ndefault_ca=d\n[d]\ndatabase=$tls/index\nserial=$tls/serial\nnew_certs_dir=$tls\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
	  unless -e "$tls/ca.cnf";
	append_to_file("$tls/index", '') unless -e "$tls/index";
	append_to_file("$tls/serial", "01\n") unless -e "$tls/serial";
	run_log([ 'openssl', 'ca', '-batch', '-config', "$tls/ca.cnf", '-cert', "$tls/$issuer.crt",
		'-keyfile', "$tls/$issuer.key",
			'-startdate', '200101000000Z', '-enddate',
				$days > 0 ? '20491231000000Z' : '200201000000Z',
			'-extfile', "$tls/$name.ext", '-in', "$tls/$name.csr", '-out', "$tls/$name.crt" ]);
}
certificate('authority', undef, 3650);
certificate('localhost', 'authority', 30, 'IP:127.0.0.1');
certificate('expired', 'authority', -1, 'IP:127.0.0.1');
certificate('other', 'authority', 30, 'DNS:other.example');
certificate('client', 'authority', 30, 'DNS:client.example');
certificate('self', undef, 30, 'IP:127.0.0.1');

foreach my $case ([ 'expired', 'certificate' ], [ 'other', 'certificate|match|subject' ],
	[ 'self', 'certificate|self.signed' ])
{
	my ($name, $pattern) = @$case;
	my $server = OtelExport->receiver('--certificate', "$tls/$name.crt", '--key', "$tls/$name.key");
	(my $url = $server->url) =~ s/http:/https:/;
	unreachable("tls_$name", $url, $pattern,
		"otel.exporter_otlp_certificate = '$tls/authority.crt'");
	is(scalar $server->spans, 0, "tls_$name: nothing is sent to a server that is not trusted");
	$server->stop;
}
my $server = OtelExport->receiver('--certificate', "$tls/localhost.crt", '--key',
	"$tls/localhost.key", '--client-ca', "$tls/authority.crt");
(my $url = $server->url) =~ s/http:/https:/;
unreachable('no_client', $url, 'certificate|alert|SSL');
endpoint($url, "otel.exporter_otlp_client_certificate = '$tls/client.crt'",
	"otel.exporter_otlp_client_key = '$tls/client.key'");
OtelExport::record($node, 'client', 3);
OtelExport::wait_drained($node);
is_deeply([ $server->span_names ], [ OtelExport::names('client', 3) ],
	'a trusted server that asks for a client certificate takes the spans');

# A proxy, as libcurl reads it from the server's environment
my $proxy_log = "$tls/proxy.log";
my $password = 'pr0xy-password';
my $proxy = OtelExport->start_program('forward_proxy.py', '--log', $proxy_log, '--auth',
	"user:$password");

# The server with a proxy of that name and password, and further variables.
sub restart_behind
{
	my ($given, %variables) = @_;
	my $proxy_url = "http://user:$given\@127.0.0.1:" . $proxy->{port};
	local %ENV = (%ENV, http_proxy => $proxy_url, https_proxy => $proxy_url, no_proxy => '',
		%variables);
	$node->restart;
}

# It tells of a connection when that ends.
sub proxied
{
	my ($what, $test) = @_;
	ok(OtelExport::wait_until(sub { -e $proxy_log && slurp_file($proxy_log) =~ $what }), $test);
}

restart_behind($password);
OtelExport::record($node, 'tunnel', 1);
OtelExport::wait_drained($node);
is_deeply([ $server->span_names(qr/^tunnel/) ], ['tunnel-1'],
	'spans pass a proxy by CONNECT to a TLS endpoint');
endpoint($good);
OtelExport::record($node, 'forwarded', 1);
arrived('forwarded', 1, 'spans pass a proxy to an endpoint without TLS');
endpoint($url);
my $since = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
restart_behind('wrong');
proxied(qr/CONNECT 127\.0\.0\.1:$server->{port}\b/,
	'the proxy was asked to connect to the collector');
proxied(qr{POST 127\.0\.0\.1:$receiver->{port}/v1/traces\b}, 'the proxy forwarded the request');
OtelExport::record($node, 'stranger', 1);
wait_error('407', $since, 'last_error says that a proxy refuses');
is(OtelExport::status($node, 'pending'), 1, 'a span that a proxy refuses stays pending');
unlike(slurp_file($node->logfile) . OtelExport::status($node, 'last_error'), qr/$password/,
	'the proxy\'s password is neither in the log nor in the status');
$proxy->stop;
restart_behind($password, no_proxy => '127.0.0.1');
OtelExport::record($node, 'direct', 1);
OtelExport::wait_drained($node);
is_deeply([ $server->span_names(qr/^(stranger|direct)/) ], [ 'direct-1', 'stranger-1' ],
	'with no_proxy spans go straight to the collector');
$node->restart;

# A name server that does not answer: its part is played by a getaddrinfo() of the test's own
my $resolver = "$tls/slow_resolver.so";
my ($compiler) = run_command([ $ENV{PG_CONFIG} || 'pg_config', '--cc' ]);
system_or_bail((split ' ', $compiler), '-shared', '-fPIC', '-o', $resolver,
	($ENV{TESTDIR} || '.') . '/test/t/slow_resolver.c');
{
	local $ENV{LD_PRELOAD} = $resolver;
	$node->restart;
}
$since = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
my $began = time;
endpoint('http://silent.example', 'otel.exporter_otlp_timeout = 500');
OtelExport::record($node, 'unanswered', 1);
wait_error('timed? ?out|resolv', $since, 'last_error says that a name server does not answer');
cmp_ok(time - $began, '<', 30,
	'a name server that does not answer costs no more than the time-out');
$pid = OtelExport::status($node, 'exporter_pid');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
ok(OtelExport::wait_until(sub { !kill 0, $pid }, 30),
	'an exporter that waits for a name server can be terminated');
$node->restart;
endpoint($good);
OtelExport::record($node, 'unanswered later', 1);
arrived('unanswered', 1, 'once names are resolved again the span arrives');

# IPv6
my $six = eval { IO::Socket::IP->new(LocalHost => '::1', Listen => 1) }
  if eval { require IO::Socket::IP };
SKIP:
{
	skip 'no IPv6 here', 1 unless $six;
	my $port = $six->sockport;
	endpoint("http://[::1]:$port");
	OtelExport::record($node, 'six', 1);
	my $connection = $six->accept;
	like(scalar(<$connection>), qr{^POST /v1/traces HTTP/1.1},
		'an endpoint may be an IPv6 address');
	$connection->close;
}

done_testing();
