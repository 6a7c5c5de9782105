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
	return split /\n/, $node->safe_psql('postgres', 'SELECT name FROM otel.failed_spans ORDER BY name COLLATE "C"');
}

# Answers that mean: later
foreach my $status (429, 502, 503, 504)
{
	$receiver->answer({ status => $status });
	my $name = batch(5);
	arrived($name, 5, "$status: sent again");
	is(OtelExport::status($node, 'failed'), 0, "$status: nothing is set aside");
	like(OtelExport::status($node, 'last_error'), qr/HTTP status $status/, "$status: the status names it");
}
$receiver->answer({ drop => JSON::PP::true });
arrived(batch(5), 5, 'a closed connection: sent again');

foreach my $case ([ 'seconds', sub { 3 } ], [ 'an HTTP date', sub { POSIX::strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time + 4)) } ])
{
	my ($form, $value) = @$case;
	require POSIX;
	$receiver->answer({ status => 503, headers => { 'Retry-After' => $value->() } });
	my $before = scalar $receiver->requests;
	my $start = time;
	my $name = batch(5);
	OtelExport::wait_until(sub { $receiver->requests > $before });
	$node->safe_psql('postgres', 'SELECT otel.force_flush(500)');
	is(scalar $receiver->requests, $before + 1, "Retry-After in $form is honoured even when somebody waits in force_flush()");
	arrived($name, 5, "Retry-After in $form: sent again");
	cmp_ok(time - $start, '>=', 2.5, "Retry-After in $form: not earlier");
}

# 413: halved until it is small enough, and not tried as large again
$receiver->answer({ status => 413, times => 3 });
my $name = batch(400);
arrived($name, 400, '413: all arrive in smaller requests');
is($receiver->duplicates, 0, '413: and each once');
is(OtelExport::status($node, 'failed'), 0, '413: nothing is set aside');
OtelExport::set($node, '# a reload makes the requests large again');
OtelExport::wait_until(sub {
		my $name = batch(400);
		OtelExport::wait_drained($node);
		return ($receiver->requests)[-1]{spans} == 400;
	}) or fail('413: the reload is seen');

# No answer at all to what is too large for the way to the collector
sub text_of { return "attributes => jsonb_build_object('text', repeat('x', $_[0]))" }

sub middle_sized { return $node->safe_psql('postgres', "SELECT otel.record_span('$_[0]-' || i, now(), " . text_of(40_000) . ') FROM generate_series(1, 10) i') }

# Flushing has the exporter try again without the pauses between.
sub flush_until
{
	my ($condition) = @_;
	return OtelExport::wait_until(sub {
			$node->safe_psql('postgres', 'SELECT otel.force_flush(200)');
			return $condition->();
		});
}

my %no_answer = (cut => {}, late => { delay => 1.5 });
foreach my $case (sort keys %no_answer)
{
	OtelExport::set($node, 'otel.exporter_otlp_timeout = 500');	# a reload makes the requests large again
	flush_until(sub {
			middle_sized("$case before");
			OtelExport::wait_drained($node);
			return ($receiver->requests)[-1]{bytes} > 400_000;
		}) or fail("$case: the reload is seen");
	$receiver->answer({ drop => JSON::PP::true, when_larger_than => 150_000, times => 0, %{ $no_answer{$case} } });
	middle_sized("$case middle");
	flush_until(sub { OtelExport::status($node, 'pending') == 0 });
	is_deeply([ $receiver->span_names(qr/^$case middle/) ], [ OtelExport::names("$case middle", 10) ],
		"$case: spans that are too much for one request arrive in smaller ones");
	is(OtelExport::status($node, 'failed'), 0, "$case: none is set aside");

	$node->safe_psql('postgres', "SELECT otel.record_span('$case large', now(), " . text_of(2_000_000) . ");
		SELECT otel.record_span('$case small-' || i, now()) FROM generate_series(1, 10) i");
	flush_until(sub { OtelExport::status($node, 'pending') == 0 });
	is_deeply([ failed_names() ], ["$case large"], "$case: a span that is too large by itself is set aside");
	like($node->safe_psql('postgres', 'SELECT error FROM otel.failed_spans'), qr/reply|reset|time/i, "$case: with what happened");
	is_deeply([ $receiver->span_names(qr/^$case small/) ], [ OtelExport::names("$case small", 10) ], "$case: those behind it arrive");
	$receiver->answer();
	is($node->safe_psql('postgres', 'SELECT otel.retry_failed()'), 1, "$case: queued again");
	flush_until(sub { OtelExport::status($node, 'pending') == 0 });
	is_deeply([ $receiver->span_names(qr/^$case large/) ], ["$case large"], "$case: it arrives when it can");
}
is($receiver->duplicates, 0, 'without an answer: nothing is taken twice');

# Nobody there: that says nothing of the requests
my $other = OtelExport->receiver;
my $port = $other->{port};
OtelExport::set($node, "otel.exporter_otlp_endpoint = '" . $other->url . "'");
OtelExport::record($node, 'there', 1);
OtelExport::wait_drained($node);
$other->stop;
$node->safe_psql('postgres', "SELECT otel.record_span('nobody-' || i, now(), " . text_of(1_500_000) . ') FROM generate_series(1, 2) i');
foreach my $try (1 .. 6)
{
	my $now = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
	flush_until(sub { OtelExport::status($node, "last_error_at > '$now'") eq 't' });
}
is(OtelExport::status($node, 'pending || \' \' || failed'), '2 0', 'nobody there: nothing is set aside, however large and often');
$other = OtelExport->receiver('--port', $port);
flush_until(sub { OtelExport::status($node, 'pending') == 0 });
is(join(' ', map { $_->{spans} } $other->requests), '2', 'nobody there: then all is sent in one request');
$other->stop;
OtelExport::set($node, 'otel.exporter_otlp_timeout = 10000', "otel.exporter_otlp_endpoint = '" . $receiver->url . "'");
OtelExport::record($node, 'back', 1);
OtelExport::wait_drained($node);

# 400 for one among 512
$receiver->answer({ status => 400, when_span => 'case' . ($number + 1) . '-77', times => 0 });
my $before = scalar $receiver->requests;
$name = batch(512);
OtelExport::wait_drained($node);
is_deeply([ failed_names() ], ["$name-77"], '400: the one poisoned span among 512 is set aside');
is_deeply([ $receiver->span_names(qr/^$name-/) ], [ grep { $_ ne "$name-77" } OtelExport::names($name, 512) ], '400: all others arrive');
cmp_ok($receiver->requests - $before, '<=', 19, '400: found by halving');
is($node->safe_psql('postgres', 'SELECT error FROM otel.failed_spans'), 'HTTP status 400', '400: with its error');
$receiver->answer();
is($node->safe_psql('postgres', 'SELECT otel.retry_failed()'), 1, 'retry_failed() puts it back');
arrived($name, 512, '400: then it arrives, too');
is(OtelExport::status($node, 'failed'), 0, 'and is set aside no longer');

# 400 for everything: set aside whole, after three requests
$receiver->answer({ status => 400, times => 0 });
$before = scalar $receiver->requests;
$name = batch(512);
OtelExport::wait_drained($node);
is(scalar(failed_names()), 512, '400 for everything: the batch is set aside whole');
is($receiver->requests - $before, 3, '400 for everything: the batch and its halves were tried');
$receiver->answer();
$node->safe_psql('postgres', 'SELECT otel.retry_failed()');
arrived($name, 512, '400 for everything: all arrive once it is over');

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
	arrived($second, 2, "$status: the next batch is sent later");
	cmp_ok(time - $start, '>=', 0.3, "$status: not at once");
	is_deeply([ failed_names() ], [ OtelExport::names($first, 3) ], "$status: set aside");
	like($node->safe_psql('postgres', 'SELECT DISTINCT error FROM otel.failed_spans'), qr/^HTTP status $status/, "$status: with the answer");
	is($receiver->requests, $requests + 1, "$status: sent nowhere else") if $status == 301;
	is($node->safe_psql('postgres', 'SELECT otel.retry_failed()'), 3, "$status: queued again");
	arrived($first, 3, "$status: then they arrive");
}
is($receiver->duplicates, 0, 'no span was taken twice');

# The server's message
$receiver->answer({ status => 401, headers => { 'Content-Type' => 'application/json' }, body => '{"code":16,"message":"no \"key\" here"}' });
batch(1);
OtelExport::wait_sql($node, 'SELECT failed = 1 FROM otel.export_status');
is(OtelExport::status($node, 'last_error'), 'HTTP status 401: no "key" here', 'the message of an error answer is kept');
$node->safe_psql('postgres', 'SELECT otel.retry_failed()');
OtelExport::wait_drained($node);

# Partial success
foreach my $protocol ('http/json', 'http/protobuf')
{
	OtelExport::set($node, "otel.exporter_otlp_protocol = '$protocol'");
	my $rejected = OtelExport::status($node, 'rejected');
	my $exported = OtelExport::status($node, 'exported');
	$receiver->answer({ partial_success => { rejected_spans => 2, error_message => 'two too old' } });
	batch(5);
	OtelExport::wait_drained($node);
	is(OtelExport::status($node, 'rejected') - $rejected, 2, "$protocol: rejected spans are counted");
	is(OtelExport::status($node, 'exported') - $exported, 3, "$protocol: and not as exported");
	is(OtelExport::status($node, 'last_error'), 'partial success, 2 spans rejected: two too old', "$protocol: with the server's message");
	$receiver->answer({ partial_success => { rejected_spans => 0, error_message => 'a hint' } });
	batch(5);
	OtelExport::wait_drained($node);
	is(OtelExport::status($node, 'rejected') - $rejected, 2, "$protocol: nought rejected is only a warning");
	is(OtelExport::status($node, 'last_error'), 'partial success, 0 spans rejected: a hint', "$protocol: kept as well");
}
is(OtelExport::status($node, 'failed'), 0, 'a partial success sets nothing aside');

# One line in the log when it starts to fail, one when it works again
$receiver->answer({ status => 503, times => 3 });
my $log = -s $node->logfile;
arrived(batch(3), 3, 'after three failures');
my $text = slurp_file($node->logfile, $log);
is(scalar(() = $text =~ /cannot export spans/g), 1, 'three failures are one line in the log');
is(scalar(() = $text =~ /exports spans again/g), 1, 'and the end of them another');

# Who waits in force_flush(), which any role may, has an attempt made sooner, but not as often as
# wished
$node->safe_psql('postgres', 'CREATE ROLE hasty LOGIN');

sub flush_hastily
{
	my $before = $receiver->requests;
	$node->safe_psql('postgres', join(';', ('SELECT otel.force_flush(50)') x 20), extra_params => [ '-U', 'hasty' ]);
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
cmp_ok(flush_hastily(), '<=', 5, '503: twenty calls of force_flush() in a second or two make few requests');
$receiver->answer({ status => 401, times => 0 });
cmp_ok(flush_hastily(), '<=', 4, '401: nor do they empty the queue into otel.failed_spans');
cmp_ok(OtelExport::status($node, 'pending'), '>=', 30, '401: in which most spans still wait');
OtelExport::set($node, 'otel.bsp_max_export_batch_size = 512');
$receiver->answer();
$node->safe_psql('postgres', 'SELECT otel.force_flush(); SELECT otel.retry_failed()');
OtelExport::wait_drained($node);

# By the fourth failure the back-off is 4 to 8 seconds; the server's wish is less than that and
# counts all the same
$receiver->answer({ status => 503, times => 3 }, { status => 503, headers => { 'Retry-After' => 2 } });
$before = scalar $receiver->requests;
$name = batch(2);
OtelExport::wait_until(sub {
		$node->safe_psql('postgres', 'SELECT otel.force_flush(10)');
		return $receiver->requests >= $before + 4;
	});
flush_hastily();
is(scalar $receiver->requests, $before + 4, 'a Retry-After that is shorter than the back-off is honoured as well');
$node->safe_psql('postgres', 'SELECT otel.force_flush()');
arrived($name, 2, 'and all are sent when its time is over');

# What retention keeps
OtelExport::set($node, 'otel.retention = 3600');
$name = batch(4);
arrived($name, 4, 'with otel.retention');
is($node->safe_psql('postgres', "SELECT count(*) FROM otel.exported_spans WHERE name LIKE '$name-%'"), 4, 'exported spans are kept');
OtelExport::set($node, 'otel.retention = 1');
ok(OtelExport::wait_sql($node, 'SELECT count(*) = 0 FROM otel.exported_spans'),
	'exported spans are removed when otel.retention is over');

done_testing();
