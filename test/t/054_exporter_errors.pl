# What goes wrong in the exporter itself costs spans nothing but time, and the server one worker
# slot.
use strict;
use warnings;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PrivateTree;
use Test::More;

my $receiver = OtelExport->receiver;
my $tree = PrivateTree->new;
my $node = PostgreSQL::Test::Cluster->new('main', install_path => $tree->path);
$node->init;
OtelExport::configure($node, $receiver, 'max_worker_processes = 4',
	'max_logical_replication_workers = 0',
	'max_parallel_workers = 4', 'max_parallel_workers_per_gather = 2');
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION otel_links;
	CREATE TABLE large AS SELECT i FROM generate_series(1, 10000) i;
	ALTER TABLE large SET (parallel_workers = 2);
	ANALYZE large});

# Each span in a session of its own: they know nothing of each other's workers.
sub record_in_sessions
{
	my ($name, $count) = @_;
	$node->safe_psql('postgres', "SELECT otel.record_span('$name-$_', now()) IS NOT NULL")
	  foreach 1 .. $count;
}

# How many of the two workers that it wants a parallel query gets
sub parallel_workers
{
	my $plan = $node->safe_psql('postgres',
		'SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
		SET min_parallel_table_scan_size = 0;
		EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT count(*) FROM large');
	return $plan =~ /Workers Launched: (\d+)/ ? $1 : $plan;
}

# Does the status of an exporter that runs say what is wrong?
sub said
{
	my ($pattern) = @_;
	return OtelExport::wait_sql($node,
		"SELECT last_error ~ '$pattern' AND exporter_running FROM otel.export_status");
}

sub arrived
{
	my ($name, $count, $test) = @_;
	OtelExport::wait_drained($node)
	  or diag($node->safe_psql('postgres', 'TABLE otel.export_status'));
	is_deeply([ $receiver->span_names(qr/^$name-/) ], [ OtelExport::names($name, $count) ], $test);
}

is(parallel_workers(), 2, 'without exporter_state a parallel query has its workers');

# A library that is not there
$tree->remove_library('otel_links_http');
my $offset = -s $node->logfile;
record_in_sessions('unloaded', 10);
ok(said('could not access file "otel_links_http"'),
	'without otel_links_http the status says what is missing');
record_in_sessions('further', 10);
is(parallel_workers(), 2, 'without otel_links_http a parallel query still has its workers');
is(scalar(() = slurp_file($node->logfile,
	$offset) =~ /ERROR: +could not access file "otel_links_http"/g), 1,
		'the log says once that otel_links_http is missing');
is(OtelExport::status($node, 'pending'), 20, 'without otel_links_http the spans wait');
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION otel_links');
OtelExport::record($node, 'other', 1, 'other');
OtelExport::wait_sql($node, 'SELECT exporter_running FROM otel.export_status', 'other');
is($node->psql('postgres', 'DROP DATABASE other'), 0,
	'without otel_links_http DROP DATABASE works');

# The library is there, and libcurl is not
$tree->replace_in_library('otel_links_http', 'libcurl', 'libmiss');
ok(said('could not load library.*libmiss'), 'without libcurl the status says what is missing');
$tree->remove_library('otel_links_http');
$tree->restore_library('otel_links_http');
arrived('unloaded', 10, 'once libcurl is there the spans arrive, although none was recorded since');
arrived('further', 10, 'once libcurl is there the later spans arrive as well');

# A table that cannot be written to
my $pid = OtelExport::status($node, 'exporter_pid');
isnt($pid, '', 'an exporter runs');
$node->safe_psql('postgres', 'ALTER TABLE otel.exporter_state RENAME TO hidden');
$offset = -s $node->logfile;
record_in_sessions('unsettled', 1);
ok(OtelExport::wait_until(sub { $receiver->span_names(qr/^unsettled/) }),
	'spans are sent before it shows that they cannot be settled');
ok(OtelExport::wait_until(sub { slurp_file($node->logfile,
	$offset) =~ /table "otel.exporter_state" does not exist/ }),
	'the log says that exporter_state is missing');
record_in_sessions('further unsettled', 10);
is(parallel_workers(), 2, 'a parallel query has its workers');
is(OtelExport::status($node, 'exporter_pid'), $pid, 'without exporter_state the exporter stays');
is(scalar(() = slurp_file($node->logfile,
	$offset) =~ /table "otel.exporter_state" does not exist/g), 1,
	'the log says once that exporter_state is missing');
# a reload ends the wait for the next attempt, which another error tells of
my $sent = $receiver->requests;
$offset = -s $node->logfile;
$node->safe_psql('postgres', 'CREATE VIEW otel.exporter_state AS SELECT 1 AS no');
$node->reload;
ok(OtelExport::wait_until(sub { slurp_file($node->logfile,
	$offset) =~ /ERROR: .*table "otel.exporter_state" was altered/ }),
	'after a reload the exporter tries again');
is(scalar $receiver->requests, $sent, 'the exporter sends nothing again before it can be settled');
$node->safe_psql('postgres', 'DROP VIEW otel.exporter_state');
$node->safe_psql('postgres', 'ALTER TABLE otel.hidden RENAME TO exporter_state');
arrived('unsettled', 1, 'with exporter_state back the spans arrive');
arrived('further unsettled', 10, 'with exporter_state back the spans recorded meanwhile arrive');
ok(said('exporter_state'), 'the status says what was wrong with exporter_state');
is(OtelExport::status($node, 'exporter_pid'), $pid,
	'the exporter outlives a missing exporter_state');

# An administrator who takes its request for a query
$receiver->answer({ delay => 2 });
OtelExport::record($node, 'cancelled', 1);
OtelExport::wait_sql($node, 'SELECT pending = 1 FROM otel.export_status');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
arrived('cancelled', 1, 'pg_cancel_backend() does not end it either');
is(OtelExport::status($node, 'exporter_pid'), $pid, 'the exporter outlives pg_cancel_backend()');

done_testing();
