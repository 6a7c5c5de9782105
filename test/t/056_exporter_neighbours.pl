# Spans are sent side by side, and what one of them is refused for holds up no other.
use strict;
use warnings;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $receiver = OtelExport->receiver;
my $node = OtelExport::node('main', $receiver, 'otel.exporter_idle_timeout = 500');

# Has spans wait until all of them are there, however many sessions record them.
sub hold
{
	OtelExport::set($node, "otel.traces_exporter = 'none'");
	OtelExport::wait_sql($node, 'SELECT NOT exporter_running FROM otel.export_status');
}

sub let_go
{
	OtelExport::set($node, "otel.traces_exporter = 'otlp'");
	OtelExport::wait_sql($node, q{SELECT current_setting('otel.traces_exporter') = 'otlp'});
}

# Seconds until the queue is empty.
sub drain_time
{
	my $start = time;
	OtelExport::wait_until(sub {
			$node->safe_psql('postgres', 'SELECT otel.force_flush(500)');
			return OtelExport::status($node, 'pending') == 0;
		});
	return time - $start;
}

sub arrived
{
	my ($like, $expected, $test) = @_;
	is_deeply([ $receiver->span_names($like) ], [ sort @$expected ], $test);
}

# However short somebody waits
hold();
OtelExport::record_batch($node, 'zero', 3);
let_go();
$node->safe_psql('postgres', 'SELECT otel.force_flush(0)');
ok(OtelExport::wait_until(sub { $receiver->span_names(qr/^zero/) == 3 }),
	'force_flush(0) starts an exporter where there is none');

# Several requests under way
hold();
OtelExport::set($node, 'otel.bsp_max_export_batch_size = 10');
OtelExport::record_batch($node, 'aside', 160);
$receiver->answer({ delay => 1, times => 0 });
let_go();
cmp_ok(drain_time(), '<', 12,
	'sixteen requests that take a second each are not made one after the other');
arrived(qr/^aside/, [ OtelExport::names('aside', 160) ],
	'all spans of sixteen requests under way arrive');
is($receiver->duplicates, 0, 'no span of requests that were under way together is sent twice');

# One of several requests under way fails: the others are settled by their own answers
$receiver->answer({ status => 503, when_span => 'some-55' }, { delay => 0.2, times => 0 });
hold();
OtelExport::record_batch($node, 'some', 160);
let_go();
drain_time();
arrived(qr/^some/, [ OtelExport::names('some', 160) ],
	'the spans of a request that failed among others arrive');
is($receiver->duplicates, 0, 'a request that fails has no span of the others sent twice');

# Two bad spans, one in either half of a batch
OtelExport::set($node, 'otel.bsp_max_export_batch_size = 512');
$receiver->answer({ status => 400, body => 'bad span', when_span => 'bad', times => 0 });
hold();
$node->safe_psql('postgres', q{SELECT otel.record_span(
	CASE WHEN i IN (10, 400) THEN 'bad' ELSE 'good-' || i END, now()) IS NOT NULL
	FROM generate_series(1, 512) i});
my $requests = $receiver->requests;
let_go();
drain_time();
is($node->safe_psql('postgres',
	q{SELECT string_agg(name, ',' ORDER BY name) FROM otel.failed_spans}),
	'bad,bad', 'two bad spans in different halves of a batch are set aside alone');
cmp_ok($receiver->requests - $requests, '<=', 64,
	'finding two bad spans among 512 takes at most 64 requests');
$node->safe_psql('postgres', 'DELETE FROM otel.failed_spans');

# A 400 that says "too large", as the Collector's receiver does
$receiver->answer({ status => 400, body => 'http: request body too large',
	when_larger_than => 65536, times => 0 });
hold();
$node->safe_psql('postgres', q{SELECT count(otel.record_span('wide-' || i, now(),
	attributes => jsonb_build_object('t', repeat('x', 1000)))) FROM generate_series(1, 512) i});
let_go();
drain_time();
is(scalar($receiver->span_names(qr/^wide/)), 512,
	'a 400 that says "request body too large" halves the request');
is(OtelExport::status($node, 'failed'), 0,
	'a 400 that says "request body too large" sets no span aside');

# Large spans that a server does not take keep nobody waiting
$receiver->answer({ status => 413, when_larger_than => 1_000_000, times => 0 });
hold();
$node->safe_psql('postgres', q{SELECT count(otel.record_span('giant-' || i, now(),
	attributes => jsonb_build_object('t', repeat(md5(i::text), 65000))))
		FROM generate_series(1, 8) i});
OtelExport::record_batch($node, 'behind', 100);
let_go();
cmp_ok(drain_time(), '<', 15,
	'eight large spans that a server refuses delay nobody by a pause each');
arrived(qr/^behind/, [ OtelExport::names('behind', 100) ],
	'the spans behind large ones that are refused arrive');
is(OtelExport::status($node, 'failed'), 8, 'the large spans that a server refuses are set aside');
$node->safe_psql('postgres', 'DELETE FROM otel.failed_spans');

# One that is far larger does not have the exporter keep its memory
$receiver->answer();
OtelExport::set($node, 'otel.exporter_idle_timeout = 600000');
$node->safe_psql('postgres', q{SELECT count(otel.record_span('enormous', now(),
	attributes => jsonb_build_object('t', repeat(md5(random()::text), 900000))))});
drain_time();
arrived(qr/^enormous/, ['enormous'], 'a span of 29 MB arrives');
my $pid = OtelExport::status($node, 'exporter_pid');
my ($peak) = slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB/m;
my ($kept) = slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m;
note("peak memory $peak kB, private afterwards $kept kB");
cmp_ok($peak, '>', 64 * 1024, 'a span of 29 MB takes memory while it is sent');
cmp_ok($kept, '<', 32 * 1024, 'after a span of 29 MB the exporter has less than 32 MB of memory');
OtelExport::set($node, 'otel.exporter_idle_timeout = 500');

# The largest request
OtelExport::set($node, "otel.exporter_max_request_size = '100kB'");
hold();
$node->safe_psql('postgres', q{SELECT count(otel.record_span('sized-' || i, now(),
	attributes => jsonb_build_object('t', repeat('x', 20000)))) FROM generate_series(1, 20) i});
$node->safe_psql('postgres', q{SELECT count(otel.record_span('oversized', now(),
	attributes => jsonb_build_object('t', repeat('x', 200000))))});
$requests = $receiver->requests;
let_go();
drain_time();
my @requests = ($receiver->requests)[ $requests .. $receiver->requests - 1 ];
my @sizes = sort { $b <=> $a } map { $_->{bytes} } @requests;
cmp_ok($sizes[0], '<=', 100 * 1024, 'no request is larger than otel.exporter_max_request_size');
is(scalar($receiver->span_names(qr/^sized/)), 20,
	'spans that need several requests of the largest size arrive');
is($node->safe_psql('postgres', 'SELECT name, error FROM otel.failed_spans'),
	'oversized|larger than otel.exporter_max_request_size',
	'a span that needs a request above otel.exporter_max_request_size is set aside, with why');
$node->safe_psql('postgres', 'DELETE FROM otel.failed_spans');

# A batch that several sessions have filled.  An exporter that starts sends what there is, so it is
# the one that is there.
OtelExport::set($node, 'otel.bsp_schedule_delay = 600000', 'otel.bsp_max_export_batch_size = 100',
	"otel.exporter_max_request_size = '64MB'", 'otel.exporter_idle_timeout = 600000');
OtelExport::record($node, 'first', 1);
$node->safe_psql('postgres', 'SELECT otel.force_flush()');
OtelExport::record_batch($node, "session-$_", 25) foreach 1 .. 5;
ok(OtelExport::wait_until(sub { $receiver->span_names(qr/^session/) >= 100 }, 30),
	'a batch that several sessions have filled is sent without the delay');

# The time that a batch may take, however many requests it needs
OtelExport::set($node, 'otel.bsp_schedule_delay = 100', 'otel.bsp_export_timeout = 2000',
	'otel.exporter_idle_timeout = 500');
$receiver->answer({ status => 413, when_larger_than => 1200, delay => 0.3, times => 0 });
hold();
OtelExport::record_batch($node, 'slow', 64);
let_go();
drain_time();
is(scalar($receiver->span_names(qr/^slow/)), 64,
	'spans of a batch that ran out of time are sent with the next');
is(OtelExport::status($node, 'failed'), 0, 'running out of time sets no span aside');

done_testing();
