# When the exporter runs: on demand, not on a standby, again after a promotion, and anew for an
# extension that changed.  Who it makes way for is in 050 and 052, what kills it in 051.
use strict;
use warnings;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $receiver = OtelExport->receiver;
my $node = OtelExport::node('main', $receiver, 'otel.exporter_idle_timeout = 300');
my $exporters = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'otel_links exporter'};

sub arrived
{
	my ($name, $count, $test, $server) = @_;
	OtelExport::wait_drained($server || $node);
	is_deeply([ $receiver->span_names(qr/^$name-/) ], [ OtelExport::names($name, $count) ], $test);
}

# On demand, and away when idle
is($node->safe_psql('postgres', $exporters), 0, 'no exporter runs before the first span');
OtelExport::record($node, 'first', 1);
arrived('first', 1, 'the first span starts an exporter');
ok(OtelExport::wait_sql($node, "SELECT ($exporters) = 0"), 'an idle exporter leaves');
OtelExport::record($node, 'second', 1);
arrived('second', 1, 'the next span starts another exporter');
OtelExport::set($node, 'otel.exporter_idle_timeout = 600000');

# An update of the extension
OtelExport::record($node, 'third', 1);
OtelExport::wait_sql($node, 'SELECT exporter_running FROM otel.export_status');
my $pid = OtelExport::status($node, 'exporter_pid');
$node->safe_psql('postgres',
	q{UPDATE pg_extension SET extversion = '1.0' WHERE extname = 'otel_links'});
ok( OtelExport::wait_sql(
		$node, "SELECT exporter_running AND exporter_pid <> $pid FROM otel.export_status"),
	'an extension that changed gets an exporter of its own');

# Rows that move while they are being sent
$receiver->answer({ delay => 2 });
OtelExport::record_batch($node, 'moved', 5);
OtelExport::wait_sql($node, 'SELECT exporter_running FROM otel.export_status');
$node->safe_psql('postgres',
	q{SELECT otel.record_span('behind', now()); VACUUM FULL otel.span_queue});
OtelExport::wait_drained($node);
is(scalar($receiver->span_names(qr/^moved-/)), 5, 'rows that VACUUM FULL moves are exported');
is(scalar($receiver->span_names(qr/^behind$/)), 1,
	'no row that VACUUM FULL moves is taken for another');

# A standby, and its promotion
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
OtelExport::set($node, 'otel.traces_exporter = none');
$standby->append_conf('postgresql.conf', "shared_preload_libraries = 'otel_links'");
$standby->start;
$node->safe_psql('postgres',
	'SELECT pg_terminate_backend(exporter_pid) FROM otel.export_status WHERE exporter_running');
OtelExport::record($node, 'replicated', 3);
is(OtelExport::status($node, 'not_running_because'), 'otel.traces_exporter is none',
	'the status says that otel.traces_exporter = none holds spans back');
$node->wait_for_catchup($standby);
is( OtelExport::status($standby, q{pending || ' ' || not_running_because}),
	'3 the server is a standby',
	'a standby has the queue and exports nothing');
is($standby->safe_psql('postgres', 'SELECT otel.force_flush()'),
	0, 'force_flush() on a standby returns at once');
$node->stop('immediate');
$standby->promote;
arrived('replicated', 3, 'a promotion resumes the export of what waits', $standby);

done_testing();
