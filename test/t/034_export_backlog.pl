# Backlogs: bounded, and as fast at the end as at the start.  Crashes are in 051_exporter_killed.pl.
use strict;
use warnings;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;
use Time::HiRes qw(time);

my $receiver = OtelExport->receiver;
# the tests' few buffers would have scans begin where the last one ended
my $node = OtelExport::node('main', $receiver, 'restart_after_crash = on',
	'synchronize_seqscans = off');

# Text that is no UTF-8, in a database that has another encoding, and in one that has none
$node->safe_psql('postgres',
	q{CREATE DATABASE latin1 TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C';
	CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'});
foreach my $database (qw(latin1 ascii))
{
	$node->safe_psql($database, 'CREATE EXTENSION otel_links');
	# chr(228) is one byte in both: a-umlaut in one, nothing in particular in the other
	my $text = $database eq 'latin1' ? q{chr(228)} : q{convert_from('\xe4', 'SQL_ASCII')};
	$node->safe_psql($database,
		"SELECT otel.record_span('$database-1' || $text, now(),
			attributes => jsonb_build_object('text', 'x' || $text))");
	OtelExport::wait_drained($node, $database);
	my ($span) = grep { $_->{name} =~ /^$database-1/ } $receiver->spans;
	ok($span, "$database: a span arrives") or next;
	is($span->{name}, $database eq 'latin1' ? "latin1-1\x{e4}" : 'ascii-1?',
		"$database: the name is converted to UTF-8");
	is($span->{attribute_types}{text}, $database eq 'latin1' ? 'string_value' : 'bytes_value',
		"$database: an attribute is a string where it converts, else bytes");
}
$node->safe_psql('ascii', q{SELECT otel.record_span('keys', now(), attributes => jsonb_build_object(
	convert_from('\xe4', 'SQL_ASCII'), 1, convert_from('\xf6', 'SQL_ASCII'), 2))});
OtelExport::wait_drained($node, 'ascii');
my ($keys) = grep { $_->{name} eq 'keys' } $receiver->spans;
is_deeply($keys->{attributes}, { '\xe4' => 1, '\xf6' => 2 },
	'ascii: keys that are no UTF-8 stay different from each other');
ok($node->safe_psql('postgres', 'SELECT 1'), 'the server is up after spans in other encodings');
$node->safe_psql('postgres', "DROP DATABASE $_") foreach qw(latin1 ascii);

# A damaged row does not stop the others
$node->safe_psql('postgres', q{
	BEGIN;
	SELECT otel.record_span('sound-1', now());
	COMMIT;
	INSERT INTO otel.span_queue
	SELECT (SELECT system_identifier FROM pg_control_system()), now(), now(),
	       (SELECT oid FROM pg_database WHERE datname = current_database()),
	       0, 0, 0, 1, 0, false, otel.from_ids(md5('a'), left(md5('b'), 16), 1), 'no id', 'damaged';
	CREATE CAST (bytea AS otel.packed_links) WITHOUT FUNCTION;
	INSERT INTO otel.span_queue (origin_system, start_time, end_time, origin_database,
	    dropped_attributes_count, dropped_events_count, dropped_links_count, kind, status_code,
	    parent_is_remote, context, name, links)
	SELECT (SELECT system_identifier FROM pg_control_system()), now(), now(),
	       (SELECT oid FROM pg_database WHERE datname = current_database()),
	       0, 0, 0, 1, 0, false, otel.from_ids(md5('a'), left(md5('b'), 16), 1), 'cut',
	       '\x0001'::bytea::otel.packed_links;
	SELECT otel.record_span('sound-2', now())});
OtelExport::wait_drained($node);
is_deeply([ $receiver->span_names(qr/^sound/) ], [ OtelExport::names('sound', 2) ],
	'spans before and after a damaged row arrive');
is( $node->safe_psql(
		'postgres', q{SELECT string_agg(name || ': ' || error, E'\n') FROM otel.failed_spans}),
	"damaged: parentSpanId in the queue has 5 characters instead of 16\n"
	  . 'cut: the links of a span in the queue are truncated',
	'a damaged row is set aside with its error');

# An old snapshot keeps every deleted row: the exporter walks over them once, not once a batch
my $old = Session->new($node, 'postgres');
$old->ask('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM otel.span_queue');
OtelExport::set($node, 'otel.traces_exporter = none');
OtelExport::wait_until(sub { $node->safe_psql('postgres', 'SHOW otel.traces_exporter') eq 'none' });
$node->safe_psql('postgres',
	q{SELECT count(otel.record_span('backlog-' || i, now())) FROM generate_series(1, 30000) i})
	  for 1 .. 2;
OtelExport::set($node, 'otel.traces_exporter = otlp');
my @seconds;
foreach my $half (1, 2)
{
	my $start = time;
	my $limit = $half == 1 ? 30000 : 0;
	OtelExport::wait_until(sub {
			$node->safe_psql('postgres', 'SELECT otel.force_flush(0)');
			return OtelExport::status($node, 'pending') <= $limit;
		});
	push @seconds, time - $start;
}
note("the first half took $seconds[0] s, the second $seconds[1] s");
cmp_ok($seconds[1], '<', 3 * $seconds[0] + 2,
	'the second half of a backlog is as fast as the first, under an old snapshot');

# Nor does it walk over the rows of its own counts again and again
sub state_statistics
{
	my ($column) = @_;
	return $node->safe_psql('postgres',
		"SELECT $column FROM pg_stat_user_tables JOIN pg_statio_user_tables USING (relid)
			WHERE relid = 'otel.exporter_state'::regclass");
}
$node->safe_psql('postgres',
	q{DO $$ BEGIN
		FOR i IN 1 .. 10000 LOOP UPDATE otel.exporter_state SET exported = exported; END LOOP;
	END $$});
OtelExport::wait_until(sub { state_statistics('n_tup_upd') >= 10000 });
my ($changes, $blocks) = map { state_statistics($_) } 'n_tup_ins', 'heap_blks_hit + heap_blks_read';
my $made = 0;
OtelExport::set($node, 'otel.bsp_max_export_batch_size = 1');
OtelExport::wait_until(sub {
		OtelExport::record_batch($node, 'single', 50);
		OtelExport::wait_sql($node, 'SELECT count(*) = 0 FROM otel.span_queue');
		$made = state_statistics('n_tup_ins') - $changes;
		return $made >= 100;
	});
my $each = (state_statistics('heap_blks_hit + heap_blks_read') - $blocks) / $made;
note("$each blocks for each of $made changes");
cmp_ok($each, '<', 20,
	'however many rows of otel.exporter_state an old snapshot keeps, a change reads a few blocks');
OtelExport::set($node, 'otel.bsp_max_export_batch_size = 512');
$old->quit;
is($receiver->duplicates, 0, 'no span of a backlog is sent twice');

# The bound: the oldest go, and are counted
OtelExport::set($node, 'otel.queue_max_size = 1MB',
	"otel.exporter_otlp_endpoint = 'http://127.0.0.1:1'");
$node->safe_psql('postgres', 'VACUUM FULL otel.span_queue');
$node->safe_psql('postgres',
	q{SELECT count(otel.record_span('large-' || i, now() - interval '1 day',
		now() - i * interval '1 second',
			attributes => jsonb_build_object('text', repeat(md5(i::text), 30))))
				FROM generate_series(1, 20000) i});
ok(OtelExport::wait_sql($node, 'SELECT dropped > 0 FROM otel.export_status'),
	'above otel.queue_max_size spans are dropped');
OtelExport::wait_sql($node, 'SELECT pending + dropped = 20000 FROM otel.export_status');
is(OtelExport::status($node, 'pending + dropped'), 20000,
	'spans above otel.queue_max_size are counted exactly');
# the oldest were recorded last, so that their place in the table would let them stay; those that
# end within a 4096th of the time count as of the same age
is($node->safe_psql('postgres', q{SELECT count(*) FILTER (WHERE substr(name, 7)::int > n) < n / 10.0
	FROM otel.span_queue, (SELECT count(*) AS n FROM otel.span_queue) c GROUP BY n}), 't',
		'above otel.queue_max_size the oldest spans go first');
OtelExport::set($node, 'otel.queue_max_size = 1GB',
	"otel.exporter_otlp_endpoint = '" . $receiver->url . "'");
OtelExport::wait_drained($node);

done_testing();
