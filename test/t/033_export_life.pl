# The exporter comes and goes: by itself, for whoever wants its database, after crashes and
# promotions.
use strict;
use warnings;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

my $receiver = OtelExport->receiver;
my $node = OtelExport::node('main', $receiver, 'otel.exporter_idle_timeout = 300', 'max_worker_processes = 8', 'restart_after_crash = on');
my $workers = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'otel_links exporter'};

sub arrived
{
	my ($name, $count, $test, $server) = @_;
	OtelExport::wait_drained($server || $node);
	is_deeply([ $receiver->span_names(qr/^$name-/) ], [ OtelExport::names($name, $count) ], $test);
}

sub exporter_pid
{
	my ($database) = @_;
	OtelExport::wait_sql($node, 'SELECT exporter_running FROM otel.export_status', $database);
	return OtelExport::status($node, 'exporter_pid', $database);
}

# A command, and how long it took
sub timed
{
	my ($sql) = @_;
	my $start = time;
	$node->safe_psql('postgres', $sql);
	return time - $start;
}

# On demand, and away when idle
is($node->safe_psql('postgres', $workers), 0, 'no exporter before the first span');
OtelExport::record($node, 'first', 1);
arrived('first', 1, 'the first span starts one');
ok(OtelExport::wait_sql($node, "SELECT ($workers) = 0"), 'an idle exporter leaves');
OtelExport::record($node, 'second', 1);
arrived('second', 1, 'the next span starts another exporter');

# Many sessions while exporters come and go: no row is left behind by a race
OtelExport::set($node, 'otel.exporter_idle_timeout = 1', 'otel.bsp_schedule_delay = 1');
foreach my $round (1 .. 40)
{
	OtelExport::record($node, "race$round", 2);
	sleep(rand 0.03);
}
OtelExport::wait_until(sub { $receiver->span_names(qr/^race/) == 80 }, 20);
is(scalar($receiver->span_names(qr/^race/)), 80, 'spans that are recorded while exporters leave are exported all the same');
OtelExport::set($node, 'otel.exporter_idle_timeout = 600000', 'otel.bsp_schedule_delay = 100');

# For whoever wants the database, at rest and during a POST that hangs
my $hang = OtelExport->start_program('faulty.py', '--fault', 'hang');
foreach my $state ('at rest', 'in a hanging POST', 'while it backs off')
{
	my $closed = 'http://127.0.0.1:1';
	my $url = { 'at rest' => $receiver->url, 'in a hanging POST' => $hang->url, 'while it backs off' => $closed }->{$state};
	my $log = -s $node->logfile;
	$node->safe_psql('postgres', 'CREATE DATABASE template_one');
	$node->safe_psql('template_one', "CREATE EXTENSION otel_links; ALTER DATABASE template_one SET otel.exporter_otlp_endpoint = '$url'");
	OtelExport::record($node, "in_$state", 1, 'template_one');
	exporter_pid('template_one');
	OtelExport::wait_sql($node, 'SELECT pending = 0 FROM otel.export_status', 'template_one') if $state eq 'at rest';
	OtelExport::wait_sql($node, 'SELECT last_error IS NOT NULL FROM otel.export_status', 'template_one') if $state eq 'while it backs off';
	cmp_ok(timed('CREATE DATABASE copy TEMPLATE template_one'), '<', 3,
		"$state: CREATE DATABASE … TEMPLATE takes less than three seconds");
	if ($state ne 'at rest')
	{
		OtelExport::set($node, "otel.exporter_otlp_endpoint = '" . $receiver->url . "'");
		$node->safe_psql('copy', 'SELECT otel.force_flush()');
		is(OtelExport::status($node, 'pending || \' \' || failed', 'copy'), '0 1', "$state: a copied database sets its template's spans aside");
		ok(!grep({ $_->{name} =~ /^in_$state/ } $receiver->spans),
			"$state: a copied database does not export its template's spans");
		OtelExport::record($node, "again_$state", 1, 'template_one');
		exporter_pid('template_one');
	}
	cmp_ok(timed('DROP DATABASE copy'), '<', 3,
		"$state: DROP DATABASE of the copy takes less than three seconds");
	cmp_ok(timed('DROP DATABASE template_one'), '<', 3,
		"$state: DROP DATABASE takes less than three seconds");
}
$node->safe_psql('postgres', 'CREATE DATABASE forced');
$node->safe_psql('forced', 'CREATE EXTENSION otel_links');
OtelExport::record($node, 'forced', 1, 'forced');
my $pid = exporter_pid('forced');
cmp_ok(timed('DROP DATABASE forced WITH (FORCE)'), '<', 3,
	'DROP DATABASE … WITH (FORCE) takes less than three seconds');
my $log = -s $node->logfile;
# the restart interval is 5 s: what would loop has come back by then
OtelExport::wait_until(sub { slurp_file($node->logfile, $log) =~ /FATAL: .*database \d+ does not exist/ || time - $^T > 600 }, 8);
my $gone = () = slurp_file($node->logfile, $log) =~ /database \d+ does not exist/g;
cmp_ok($gone, '<=', 1, 'a worker whose database is gone does not come back again and again');

# A worker that is killed while its POST is under way
OtelExport::set($node, "otel.exporter_otlp_endpoint = '" . $hang->url . "'");
OtelExport::record($node, 'killed', 3);
$pid = exporter_pid();
OtelExport::set($node, "otel.exporter_otlp_endpoint = '" . $receiver->url . "'");
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
OtelExport::wait_until(sub { !kill 0, $pid });
OtelExport::record($node, 'after', 1);
arrived('killed', 3, 'the next exporter sends what a terminated one had not exported');
arrived('after', 1, 'the next exporter sends what was recorded after');

# kill -9 between POST and delete: the answer is held back, the span is there twice at most
$receiver->answer({ delay => 1 });
$pid = exporter_pid();
my $requests = scalar $receiver->requests;
OtelExport::record_batch($node, 'shot', 3);
OtelExport::wait_sql($node, 'SELECT pending = 3 FROM otel.export_status');
sleep 0.5;
kill 'KILL', $pid;
OtelExport::wait_until(sub { $node->psql('postgres', 'SELECT 1') == 0 && !kill(0, $pid) });
OtelExport::record($node, 'alive', 1);
arrived('shot', 3, 'after kill -9 of the exporter all spans arrive');
cmp_ok($receiver->duplicates, '<=', 3, 'kill -9 sends twice at most the spans that were under way');

# Fast shutdown during a hanging POST
OtelExport::set($node, "otel.exporter_otlp_endpoint = '" . $hang->url . "'");
OtelExport::record($node, 'hanging', 3);
exporter_pid();
my $start = time;
$node->stop('fast');
cmp_ok(time - $start, '<', 3, 'a fast shutdown does not wait for a hanging POST');
$hang->stop;
OtelExport::configure($node, $receiver, "shared_preload_libraries = 'otel_links'");
$node->start;
arrived('hanging', 3, 'with shared_preload_libraries a restart resumes what waits, with no span recorded');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'otel_links launcher'}), 0,
	'the launcher leaves when it has started exporters');

# DROP EXTENSION, and again
$node->safe_psql('postgres', 'CREATE DATABASE app');
$node->safe_psql('app', 'CREATE EXTENSION otel_links');
OtelExport::record($node, 'app', 1, 'app');
$pid = exporter_pid('app');
$node->safe_psql('app', 'DROP EXTENSION otel_links');
ok(OtelExport::wait_until(sub { !kill 0, $pid }), 'the exporter leaves after DROP EXTENSION');
$node->safe_psql('app', 'CREATE EXTENSION otel_links');
OtelExport::record($node, 'anew', 2, 'app');
OtelExport::wait_drained($node, 'app');
is(scalar($receiver->span_names(qr/^anew-/)), 2, 'after CREATE EXTENSION spans are exported again');
$pid = exporter_pid('app');
$node->safe_psql('app', q{UPDATE pg_extension SET extversion = '1.0' WHERE extname = 'otel_links'});
ok(OtelExport::wait_sql($node, "SELECT exporter_running AND exporter_pid <> $pid FROM otel.export_status", 'app'),
	'a changed extension gets an exporter of its own');

# VACUUM FULL moves rows while they are being sent
$receiver->answer({ delay => 2 });
$requests = scalar $receiver->requests;
OtelExport::record_batch($node, 'moved', 5);
OtelExport::wait_sql($node, "SELECT exporter_running FROM otel.export_status");
$node->safe_psql('postgres', "SELECT otel.record_span('behind', now()); VACUUM FULL otel.span_queue");
OtelExport::wait_drained($node);
is(scalar($receiver->span_names(qr/^moved-/)), 5, 'rows that VACUUM FULL moves are exported');
is(scalar($receiver->span_names(qr/^behind$/)), 1,
	'no row that VACUUM FULL moves is taken for another');

# No worker slot
$node->stop;
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\nmax_worker_processes = 0");
$node->start;
OtelExport::record($node, 'no slot', 2);
is(OtelExport::status($node, 'pending'), 2, 'without a free worker slot the spans wait');
like(OtelExport::status($node, 'not_running_because'), qr/max_worker_processes/,
	'the status names max_worker_processes when no slot is free');
like(slurp_file($node->logfile), qr/no background worker slot is free.*raising max_worker_processes/s,
	'the log names max_worker_processes when no slot is free');
is($node->safe_psql('postgres', 'BEGIN READ ONLY; SELECT otel.force_flush(100)'), 0, 'force_flush() raises nothing, not even in a read-only transaction');
$node->stop;
$node->append_conf('postgresql.conf', 'max_worker_processes = 8', 'restart_after_crash = on');
$node->start;
OtelExport::record($node, 'slot', 1);
arrived('no slot', 2, 'when a slot is free the next span starts an exporter');
is(OtelExport::status($node, 'not_running_because'), '',
	'the status forgets about slots when an exporter runs');

# A replica, and its promotion
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
OtelExport::set($node, 'otel.traces_exporter = none');
$standby->append_conf('postgresql.conf', "shared_preload_libraries = 'otel_links'");
$standby->start;
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(exporter_pid) FROM otel.export_status WHERE exporter_running});
OtelExport::record($node, 'replicated', 3);
is(OtelExport::status($node, 'not_running_because'), 'otel.traces_exporter is none',
	'otel.traces_exporter = none holds spans back');
$node->wait_for_catchup($standby);
is(OtelExport::status($standby, 'pending || \' \' || not_running_because'), '3 the server is a standby',
	'a standby has the queue and exports nothing');
is($standby->safe_psql('postgres', 'SELECT otel.force_flush()'), 0, 'force_flush() on a standby returns at once');
$node->stop('immediate');
$standby->promote;
arrived('replicated', 3, 'promotion resumes the export of what waits', $standby);

# A subscriber of all tables that has no such tables goes on, whatever becomes of spans
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init;
$subscriber->start;
OtelExport::set($standby, 'otel.retention = 3600', 'otel.traces_exporter = otlp');
$standby->safe_psql('postgres', 'CREATE DATABASE shop');
$standby->safe_psql('shop', 'CREATE TABLE orders (id int PRIMARY KEY); CREATE PUBLICATION everything FOR ALL TABLES');
$subscriber->safe_psql('postgres', 'CREATE TABLE orders (id int PRIMARY KEY)');
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION s CONNECTION '" . $standby->connstr . " dbname=shop' PUBLICATION everything WITH (copy_data = false)");
$receiver->answer({ status => 401 });
$standby->safe_psql('shop', q{
	CREATE EXTENSION otel_links;
	INSERT INTO orders VALUES (1);
	SELECT otel.record_span('wide', now(), attributes => jsonb_build_object('a', (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 1000) i)))});
OtelExport::wait_sql($standby, 'SELECT failed > 0 FROM otel.export_status', 'shop');
$standby->safe_psql('shop', 'SELECT otel.retry_failed()');
OtelExport::wait_drained($standby, 'shop');
ok(OtelExport::wait_sql($standby, 'SELECT count(*) > 0 FROM otel.exported_spans', 'shop'), 'a span was set aside, queued again, exported and kept');
$standby->safe_psql('shop', 'INSERT INTO orders VALUES (2)');
$standby->wait_for_catchup('s');
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM orders'), 2, 'a FOR ALL TABLES subscriber without the extension goes on');
unlike(slurp_file($subscriber->logfile), qr/ERROR/,
	'the subscriber has met no table of the extension');

done_testing();
