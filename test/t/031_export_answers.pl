# What each kind of answer of a collector leads to: nothing is lost, nothing is sent twice that was
# taken.
use strict;
use warnings;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $receiver = OtelExport->receiver;
my $node = OtelExport::node('main', $receiver);
my $number = 0;

# Spans of one transaction, so of one batch; returns the name they begin with.
sub batch
{
	my ($count) = @_;
	my $name = 'case' . ++$number;
	OtelExport::record_batch($node, $name, $count);
	return $name;
}

sub arrived
{
	my ($name, $count, $test) = @_;
	OtelExport::wait_drained($node);
	is_deeply([ $receiver->span_names(qr/^$name-/) ], [ OtelExport::names($name, $count) ], $test);
}

sub failed_names
{
	return split /\n/,
		$node->safe_psql('postgres',
			'SELECT name FROM otel.failed_spans ORDER BY name COLLATE "C"');
}

# Answers that mean: later
foreach my $status (429, 502, 503, 504)
{
	$receiver->answer({ status => $status });
	my $name = batch(5);
	arrived($name, 5, "$status: the spans are sent again");
	is(OtelExport::status($node, 'failed'), 0, "$status: nothing is set aside");
	like(OtelExport::status($node, 'last_error'), qr/HTTP status $status/,
		"$status: last_error names the answer");
}
$receiver->answer({ drop => JSON::PP::true });
arrived(batch(5), 5, 'after a closed connection the spans are sent again');

foreach my $case ([ 'seconds', sub { 3 } ],
	[ 'an HTTP date', sub { POSIX::strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time + 4)) } ])
{
	my ($form, $value) = @$case;
	require POSIX;
	$receiver->answer({ status => 503, headers => { 'Retry-After' => $value->() } });
	my $before = scalar $receiver->requests;
	my $start = time;
	my $name = batch(5);
	OtelExport::wait_until(sub { $receiver->requests > $before });
	$node->safe_psql('postgres', 'SELECT otel.force_flush(500)');
	is(scalar $receiver->requests, $before + 1,
		"Retry-After in $form is honoured even when somebody waits in force_flush()");
	arrived($name, 5, "Retry-After in $form: the spans are sent again");
	cmp_ok(time - $start, '>=', 2.5, "Retry-After in $form: they are not sent earlier");
}

# 413: halved until it is small enough, and not tried as large again
$receiver->answer({ status => 413, times => 3 });
my $name = batch(400);
arrived($name, 400, '413: all arrive in smaller requests');
is($receiver->duplicates, 0, '413: each span arrives once');
is(OtelExport::status($node, 'failed'), 0, '413: nothing is set aside');
OtelExport::set($node, '# a reload makes the requests large again');
OtelExport::wait_until(sub {
		my $name = batch(400);
		OtelExport::wait_drained($node);
		return ($receiver->requests)[-1]{spans} == 400;
	}) or fail('413: the reload is seen');

# No answer at all to what is too large for the way to the collector.  Either case has a database
# and a receiver of its own: a span that is too large by itself is tried five times in half a
# minute, while the rest of this file runs.
sub text_of { return "attributes => jsonb_build_object('text', repeat('x', $_[0]))" }

# Flushing has the exporter try again without the pauses between.
sub flush_until
{
	my ($condition) = @_;
	return OtelExport::wait_until(sub {
			$node->safe_psql('postgres', 'SELECT otel.force_flush(200)');
			return $condition->();
		});
}

my %no_answer = (
	cut => { receiver => OtelExport->receiver, timeout => 10_000 },
	late => { receiver => OtelExport->receiver, timeout => 3000, delay => 5 });
foreach my $case (sort keys %no_answer)
{
	my $settings = $no_answer{$case};
	my %delay = $settings->{delay} ? (delay => $settings->{delay}) : ();
	$settings->{receiver}->answer({ drop => JSON::PP::true, when_larger_than => 150_000,
		times => 0, %delay });
	$node->safe_psql('postgres', "CREATE DATABASE $case");
	$node->safe_psql($case, "CREATE EXTENSION otel_links;
		ALTER DATABASE $case SET otel.exporter_otlp_endpoint = '" . $settings->{receiver}->url . "';
		ALTER DATABASE $case SET otel.exporter_otlp_timeout = $settings->{timeout}");
	$node->safe_psql($case, "SELECT otel.record_span('middle-' || i, now(), " . text_of(40_000)
		. ') FROM generate_series(1, 10) i');
}
foreach my $case (sort keys %no_answer)
{
	OtelExport::wait_drained($node, $case);
	is_deeply([ $no_answer{$case}{receiver}->span_names(qr/^middle/) ],
		[ OtelExport::names('middle', 10) ],
		"$case: spans that are too much for one request arrive in smaller ones");
	is(OtelExport::status($node, 'failed', $case), 0, "$case: no span is set aside");
	$node->safe_psql($case,
		"SELECT otel.record_span('large', now(), " . text_of(2_000_000) . ");
		SELECT otel.record_span('small-' || i, now()) FROM generate_series(1, 10) i");
}

# Nobody there: that says nothing of the requests
my $other = OtelExport->receiver;
my $port = $other->{port};
OtelExport::set($node, "otel.exporter_otlp_endpoint = '" . $other->url . "'");
OtelExport::record($node, 'there', 1);
OtelExport::wait_drained($node);
$other->stop;
$node->safe_psql('postgres',
	"SELECT otel.record_span('nobody-' || i, now(), " . text_of(1_500_000)
		. ') FROM generate_series(1, 2) i');
foreach my $try (1 .. 6)
{
	my $now = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
	flush_until(sub { OtelExport::status($node, "last_error_at > '$now'") eq 't' });
}
is(OtelExport::status($node, 'pending || \' \' || failed'), '2 0',
	'while nobody listens nothing is set aside, however large and often');
$other = OtelExport->receiver('--port', $port);
flush_until(sub { OtelExport::status($node, 'pending') == 0 });
is(join(' ', map { $_->{spans} } $other->requests), '2',
	'when somebody listens again all is sent in one request');
$other->stop;
OtelExport::set($node, "otel.exporter_otlp_endpoint = '" . $receiver->url . "'");
OtelExport::record($node, 'back', 1);
OtelExport::wait_drained($node);

# 400 for one among 512
$receiver->answer({ status => 400, when_span => 'case' . ($number + 1) . '-77', times => 0 });
my $before = scalar $receiver->requests;
$name = batch(512);
OtelExport::wait_drained($node);
is_deeply([ failed_names() ], ["$name-77"], '400: the one poisoned span among 512 is set aside');
is_deeply([ $receiver->span_names(qr/^$name-/) ],
	[ grep { $_ ne "$name-77" } OtelExport::names($name, 512) ], '400: all others arrive');
cmp_ok($receiver->requests - $before, '<=', 19,
	'400: halving takes at most 19 requests to find the span');
is($node->safe_psql('postgres', 'SELECT error FROM otel.failed_spans'), 'HTTP status 400',
	'400: the span set aside keeps the error');
$receiver->answer();
is($node->safe_psql('postgres', 'SELECT otel.retry_failed()'), 1,
	'400: retry_failed() queues the span again');
arrived($name, 512, '400: the span arrives once the server takes it');
is(OtelExport::status($node, 'failed'), 0, '400: the span is set aside no longer');

# 400 for everything: set aside whole, after a few requests
$receiver->answer({ status => 400, times => 0 });
$before = scalar $receiver->requests;
$name = batch(512);
OtelExport::wait_drained($node);
is(scalar(failed_names()), 512, '400 for everything: the batch is set aside whole');
cmp_ok($receiver->requests - $before, '<=', 31,
	'400 for everything: the batch is given up after a few requests');
$receiver->answer();
$node->safe_psql('postgres', 'SELECT otel.retry_failed()');
arrived($name, 512, '400 for everything: all spans arrive once it is over');

# Refusals: the batch is set aside, the next waits
foreach my $status (301, 401, 403, 404, 500, 507)
{
	OtelExport::wait_drained($node);
	$receiver->answer({ status => $status, headers => { Location => 'http://127.0.0.1:1/' } });
	my $first = batch(3);
	OtelExport::wait_sql($node, 'SELECT failed = 3 FROM otel.export_status');
	my $requests = scalar $receiver->requests;
	my $start = time;
	my $second = batch(2);
	arrived($second, 2, "$status: the next batch arrives");
	cmp_ok(time - $start, '>=', 0.3, "$status: the next batch is not sent at once");
	is_deeply([ failed_names() ], [ OtelExport::names($first, 3) ],
		"$status: the refused batch is set aside");
	like($node->safe_psql('postgres', 'SELECT DISTINCT error FROM otel.failed_spans'),
		qr/^HTTP status $status/,
		"$status: the spans set aside keep the answer");
	is($receiver->requests, $requests + 1, "$status: a redirect is not followed") if $status == 301;
	is($node->safe_psql('postgres', 'SELECT otel.retry_failed()'), 3,
		"$status: retry_failed() queues the batch again");
	arrived($first, 3, "$status: the batch arrives after retry_failed()");
}
is($receiver->duplicates, 0, 'after refusals no span was taken twice');

# The server's message
$receiver->answer({ status => 401, headers => { 'Content-Type' => 'application/json' },
	body => '{"code":16,"message":"no \"key\" here"}' });
batch(1);
OtelExport::wait_sql($node, 'SELECT failed = 1 FROM otel.export_status');
is(OtelExport::status($node, 'last_error'), 'HTTP status 401: no "key" here',
	'last_error has the server\'s message');
$node->safe_psql('postgres', 'SELECT otel.retry_failed()');
OtelExport::wait_drained($node);

# Partial success
foreach my $protocol ('http/json', 'http/protobuf')
{
	OtelExport::set($node, "otel.exporter_otlp_protocol = '$protocol'");
	my $rejected = OtelExport::status($node, 'rejected');
	my $exported = OtelExport::status($node, 'exported');
	$receiver->answer({ partial_success => { rejected_spans => 2,
		error_message => 'two too old' } });
	batch(5);
	OtelExport::wait_drained($node);
	is(OtelExport::status($node, 'rejected') - $rejected, 2,
		"$protocol: rejected spans are counted");
	is(OtelExport::status($node, 'exported') - $exported, 3,
		"$protocol: rejected spans are not counted as exported");
	is(OtelExport::status($node, 'last_error'), 'partial success, 2 spans rejected: two too old',
		"$protocol: last_error has the server's message about a partial success");
	$receiver->answer({ partial_success => { rejected_spans => 0, error_message => 'a hint' } });
	batch(5);
	OtelExport::wait_drained($node);
	is(OtelExport::status($node, 'rejected') - $rejected, 2,
		"$protocol: a partial success without rejected spans counts none");
	is(OtelExport::status($node, 'last_error'), 'partial success, 0 spans rejected: a hint',
		"$protocol: last_error keeps the server's warning");
}
is(OtelExport::status($node, 'failed'), 0, 'a partial success sets nothing aside');

# One line in the log when it starts to fail, one when it works again: of an exporter that has not
# logged so many others in this minute that it keeps quiet
is($node->safe_psql('postgres', 'SELECT pg_terminate_backend(exporter_pid, 60000)
	FROM otel.export_status WHERE exporter_running'), 't', 'the exporter ends when it is told to');
$receiver->answer({ status => 503, body => '{"message":"three times"}',
	headers => { 'Content-Type' => 'application/json' }, times => 3 });
my $log = -s $node->logfile;
$name = batch(3);
flush_until(sub { OtelExport::status($node, 'pending') == 0 });
arrived($name, 3, 'the spans arrive after three failures');
my $text = slurp_file($node->logfile, $log);
is(scalar(() = $text =~ /cannot export spans/g), 1, 'three failures are one line in the log');
is(scalar(() = $text =~ /exports spans again/g), 1,
	'the end of three failures is one line in the log');

# Who waits in force_flush(), which any role may, has an attempt made sooner, but not as often as
# wished
$node->safe_psql('postgres', 'CREATE ROLE hasty LOGIN');

sub flush_hastily
{
	my $before = $receiver->requests;
	$node->safe_psql('postgres', join(';', ('SELECT otel.force_flush(50)') x 20),
		extra_params => [ '-U', 'hasty' ]);
	return $receiver->requests - $before;
}

# The exporter has the setting once it sends spans one by one.
OtelExport::set($node, 'otel.bsp_max_export_batch_size = 1');
OtelExport::wait_until(sub {
		OtelExport::record_batch($node, 'one by one', 2);
		OtelExport::wait_drained($node);
		return ($receiver->requests)[-1]{spans} == 1;
	}) or fail('the reload is seen');
$receiver->answer({ status => 503, times => 0 });
batch(40);
cmp_ok(flush_hastily(), '<=', 5,
	'503: twenty calls of force_flush() in a second or two make few requests');
$receiver->answer({ status => 401, times => 0 });
cmp_ok(flush_hastily(), '<=', 4, '401: twenty calls of force_flush() make few requests');
cmp_ok(OtelExport::status($node, 'pending'), '>=', 30,
	'401: twenty calls of force_flush() leave most spans in the queue');
OtelExport::set($node, 'otel.bsp_max_export_batch_size = 512');
$receiver->answer();
$node->safe_psql('postgres', 'SELECT otel.force_flush(); SELECT otel.retry_failed()');
OtelExport::wait_drained($node);

# By the fourth failure the back-off is 4 to 8 seconds; the server's wish is less than that and
# counts all the same
$receiver->answer({ status => 503, times => 3 },
	{ status => 503, headers => { 'Retry-After' => 2 } });
$before = scalar $receiver->requests;
$name = batch(2);
OtelExport::wait_until(sub {
		$node->safe_psql('postgres', 'SELECT otel.force_flush(10)');
		return $receiver->requests >= $before + 4;
	});
flush_hastily();
is(scalar $receiver->requests, $before + 4,
	'a Retry-After that is shorter than the back-off is honoured as well');
$node->safe_psql('postgres', 'SELECT otel.force_flush()');
arrived($name, 2, 'the spans are sent when the time of Retry-After is over');

# The spans that were too large by themselves
foreach my $case (sort keys %no_answer)
{
	my $its_receiver = $no_answer{$case}{receiver};
	OtelExport::wait_drained($node, $case);
	is($node->safe_psql($case, 'SELECT name FROM otel.failed_spans'), 'large',
		"$case: a span that is too large by itself is set aside");
	like($node->safe_psql($case, 'SELECT error FROM otel.failed_spans'), qr/reply|reset|time/i,
		"$case: the span set aside says what happened");
	is_deeply([ $its_receiver->span_names(qr/^small/) ], [ OtelExport::names('small', 10) ],
		"$case: the spans behind a large one arrive");
	$its_receiver->answer();
	is($node->safe_psql($case, 'SELECT otel.retry_failed()'), 1,
		"$case: retry_failed() queues the large span again");
	OtelExport::wait_drained($node, $case);
	is_deeply([ $its_receiver->span_names(qr/^large/) ], ['large'],
		"$case: the large span arrives when the network lets it through");
	is($its_receiver->duplicates, 0, "$case: no span is taken twice");
}

# What retention keeps
OtelExport::set($node, 'otel.retention = 3600');
$name = batch(4);
arrived($name, 4, 'with otel.retention spans are exported');
is($node->safe_psql('postgres',
	"SELECT count(*) FROM otel.exported_spans WHERE name LIKE '$name-%'"), 4,
	'otel.retention keeps exported spans');
OtelExport::set($node, 'otel.retention = 1');
ok(OtelExport::wait_sql($node, 'SELECT count(*) = 0 FROM otel.exported_spans'),
	'exported spans are removed when otel.retention is over');

done_testing();
