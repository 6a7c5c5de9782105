# What monitoring reads: its cost does not grow with the queue, and its numbers are right where the
# queue is empty, short, long, or has many empty pages.  What samplers left out is counted, though
# not for the price of a transaction that writes.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use OtelExport;
use Session;
use Time::HiRes qw(time);

use constant SPANS => 300_000;

# Nothing is sent and nothing vacuumed but by this test.
my $receiver = OtelExport->receiver;
my $node = OtelExport::node('main', $receiver, 'otel.traces_exporter = none', 'autovacuum = off',
	'max_worker_processes = 8');

sub sql { return $node->safe_psql('postgres', @_) }

sub record_many
{
	my ($count, $name) = @_;
	sql(qq{DO \$\$ BEGIN
		FOR i IN 1..$count / 10000 LOOP
			PERFORM otel.record_span('$name', clock_timestamp()) FROM generate_series(1, 10000);
			COMMIT;
		END LOOP;
	END \$\$});
}

# Pages that a query reads, in memory or not; of the queue's file there are many more.
sub pages_read
{
	my ($query) = @_;
	my $plan = sql("EXPLAIN (ANALYZE, BUFFERS, COSTS off, TIMING off, FORMAT json) $query");
	my ($hit) = $plan =~ /"Shared Hit Blocks": (\d+)/;
	my ($read) = $plan =~ /"Shared Read Blocks": (\d+)/;
	return $hit + $read;
}

sub pages { return sql(q{SELECT pg_relation_size('otel.span_queue') / 8192}) }

# ---- how many wait ----

is(sql('SELECT pending, pending_bytes, oldest_age, failed, failed_bytes FROM otel.export_metrics'),
	'0|0||0|0', 'an empty queue has no span, no byte and no age');

sql(q{SELECT otel.record_span('one of a few', now()) FROM generate_series(1, 100)});
is(sql(q{SELECT m.pending, m.oldest_age BETWEEN interval '0' AND interval '1 minute',
		m.pending = s.pending, m.oldest_age = s.oldest_age
	FROM otel.export_metrics m, otel.export_status s}), '100|t|t|t',
	'the numbers of a short queue are exact');

record_many(SPANS, 'one of many');
my $estimate = sql('SELECT pending FROM otel.export_metrics');
my $exact = sql('SELECT pending FROM otel.export_status');
is($exact, SPANS + 100, 'export_status counts a long queue exactly');
cmp_ok(abs($estimate - $exact), '<', $exact / 50,
	'the number of a long queue is estimated within two per cent');
cmp_ok(sql(q{SELECT abs(extract(epoch FROM m.oldest_age - s.oldest_age))
	FROM otel.export_metrics m, otel.export_status s}), '<', 1,
	'the age of the oldest span of a long queue is right within a second');
cmp_ok(abs(1 - sql(q{SELECT m.pending_bytes::float8 / sum(pg_column_size(q.*))
	FROM otel.export_metrics m, otel.span_queue q GROUP BY m.pending_bytes})), '<', 0.05,
	'the bytes of a long queue are estimated within five per cent');
is(sql('SELECT max_bytes FROM otel.export_metrics'), 1024 * 1024 * 1024,
	'export_metrics has the bound of these bytes');
cmp_ok(pages(), '>', 4000, 'the queue has several thousand pages');
# From 19 on a query that reads a page may mark it all-visible: the scrape then looks it up in the
# free space map, which is no reading of the page.
my $looked_up = sql('SHOW server_version_num') >= 190000 ? pages() : 0;
cmp_ok(pages_read('SELECT * FROM otel.export_metrics'), '<', 1500 + $looked_up,
	'of which a scrape reads a thousand at most');

# A file with room for many spans and few of them, as after an outage
sql('DELETE FROM otel.span_queue');
sql('VACUUM otel.span_queue');
sql(q{SELECT otel.record_span('one of a few', now()) FROM generate_series(1, 10)});
is(sql('SELECT pending FROM otel.export_metrics'), 10,
	'a few spans in a file of many empty pages are counted exactly');
cmp_ok(sql('SELECT queue_bytes FROM otel.export_metrics'), '>', 30_000_000,
	'while the file keeps its room');

sql('ALTER TABLE otel.span_queue DROP COLUMN events CASCADE');
is(sql('SELECT pending IS NULL, failed FROM otel.export_metrics'), 't|0',
	'what is in a table that somebody altered is not known; the rest is');
sql('DROP EXTENSION otel_links CASCADE; CREATE EXTENSION otel_links');
my ($status, $out, $error) = $node->psql('postgres', q{SELECT otel.estimate_spans('pg_class')});
like($error, qr/"pg_class" is not a table of spans/,
	'no other table is looked at');

# ---- in health ----

# What leaves is room in the file until vacuum comes, so that the file grows with the rate
OtelExport::set($node, 'otel.queue_max_size = 1MB', 'otel.traces_exporter = otlp');
foreach my $round (1 .. 12)
{
	sql(q{SELECT count(otel.record_span('in health', now())) FROM generate_series(1, 4000);});
	sql('SELECT otel.force_flush()');
}
is(sql('SELECT queue_bytes > 4 * max_bytes, pending_bytes, dropped FROM otel.export_metrics'),
	't|0|0', 'the file passes otel.queue_max_size in health; what waits and is dropped does not');
OtelExport::set($node, 'otel.queue_max_size = 1GB', 'otel.traces_exporter = none');

# ---- who may look ----

sql('CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher; CREATE ROLE app LOGIN');
my @as_watcher = (extra_params => [ '-U', 'watcher' ]);
is(sql('SELECT count(*) FROM otel.export_metrics', @as_watcher), 1,
	'a member of pg_monitor may read export_metrics without another grant');
is(sql('SELECT count(*) FROM otel.export_status', @as_watcher), 1,
	'a member of pg_monitor may read export_status');
($status, $out, $error) = $node->psql('postgres', 'SELECT count(*) FROM otel.span_queue',
	@as_watcher);
like($error, qr/permission denied for table span_queue/,
	'a member of pg_monitor may read no spans');
($status, $out, $error) = $node->psql('postgres', 'SELECT * FROM otel.export_metrics',
	extra_params => [ '-U', 'app' ]);
like($error, qr/permission denied for view export_metrics/, 'other roles may not');
sql('GRANT SELECT ON otel.export_metrics TO app');
is(sql('SELECT count(*) FROM otel.export_metrics', extra_params => [ '-U', 'app' ]), 1,
	'unless they are granted SELECT on the view');

# ---- what samplers leave out ----

my $not_sampled = 'SELECT not_sampled FROM otel.export_metrics';
my $unsampled = q{SELECT count(otel.record_span('x', now())) FROM generate_series(1, 5)};
my $next_xid = 'SELECT pg_snapshot_xmax(pg_current_snapshot())';

sql("SET otel.traces_sampler = always_off; $unsampled");
is(sql($not_sampled), 5, 'spans that the sampler left out are counted');
is(sql('SELECT not_sampled FROM otel.export_status'), 5, 'also in export_status');
sql("SET otel.sdk_disabled = on; $unsampled");
is(sql($not_sampled), 5, 'spans that otel.sdk_disabled leaves out are not');

my $session = Session->new($node, 'postgres');
$session->ask('SET otel.traces_sampler = always_off');
$session->ask($unsampled);
is(sql($not_sampled), 10, 'a session reports its first at once');
my $xid = sql($next_xid);
$session->ask($unsampled) foreach 1 .. 3;
is(sql($next_xid), $xid, 'further ones make no transaction one that writes');
is(sql($not_sampled), 10, 'so they are reported later');
$session->ask("BEGIN; $unsampled; ROLLBACK");
$session->quit;
ok(OtelExport::wait_sql($node, 'SELECT not_sampled = 30 FROM otel.export_metrics'),
	'a session reports the rest as it ends, what was rolled back included')
  or diag(sql($not_sampled));

$session = Session->new($node, 'postgres');
$session->ask('SET otel.traces_sampler = always_off');
$session->ask("$unsampled; $unsampled");
$session->kill;
ok(OtelExport::wait_sql($node, 'SELECT not_sampled = 40 FROM otel.export_metrics'),
	'also when its client vanishes')
  or diag(sql($not_sampled));

my $locker = Session->new($node, 'postgres');
$locker->ask('BEGIN; LOCK TABLE otel.span_queue');
my $began = time;
sql("SET otel.traces_sampler = always_off; $unsampled");
cmp_ok(time - $began, '<', 0.9, 'a locked queue keeps no session for the sake of the count');
$locker->quit;

done_testing();
