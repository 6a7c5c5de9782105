# Jobs that run on another server than the clients' INSERTs: on a subscriber of logical
# replication, in text and in binary, which is a primary of its own; and a runner that reads links
# on a physical replica and records its span on the primary.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

sub comment
{
	my ($byte) = @_;
	return "/*traceparent='00-" . ($byte x 16) . "-00f067aa0ba902b7-01',tracestate='congo%3Dt61'*/";
}

sub context { return '00-' . ($_[0] x 16) . '-00f067aa0ba902b7-01;congo=t61' }

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 'logical');
$primary->append_conf('postgresql.conf', "otel.traces_exporter = none\n");
$primary->start;
$primary->safe_psql('postgres', <<'EOSQL');
CREATE EXTENSION otel_links;
CREATE TABLE jobs (id int PRIMARY KEY, state text NOT NULL DEFAULT 'pending');
SELECT otel.add_trace_context('jobs');
CREATE TABLE plain (id int PRIMARY KEY);
CREATE PUBLICATION jobs FOR TABLE jobs, plain;
EOSQL

# ---- the jobs run on a subscriber ----
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init;
$subscriber->append_conf('postgresql.conf',
	"otel.traces_exporter = none\nmax_logical_replication_workers = 8\nmax_worker_processes = 16\n"
);
$subscriber->start;
$primary->safe_psql('postgres',
	'INSERT INTO jobs (id) SELECT i FROM generate_series(1, 50) i ' . comment('a1'));

my %options = (text => '', binary => 'WITH (binary = true)');
my $connstr = $primary->connstr . ' dbname=postgres';
foreach my $format (sort keys %options)
{
	$subscriber->safe_psql('postgres', "CREATE DATABASE in_$format");

	# the context of the subscription's own statement is in no replicated row
	$subscriber->safe_psql("in_$format", <<"EOSQL");
CREATE EXTENSION otel_links;
CREATE TABLE jobs (trace_context otel.trace_context DEFAULT otel.current_trace_context(),
    id int PRIMARY KEY, state text NOT NULL DEFAULT 'pending');
CREATE TABLE plain (id int PRIMARY KEY);
SELECT otel.add_trace_context('plain');
CREATE SUBSCRIPTION jobs_$format CONNECTION '$connstr' PUBLICATION jobs $options{$format}
    ${\ comment('ff')};
EOSQL
}
foreach my $format (sort keys %options)
{
	$subscriber->poll_query_until("in_$format",
		"SELECT count(*) = 0 FROM pg_subscription_rel WHERE srsubstate NOT IN ('r', 's')")
	  or die "the first copy in $format did not end";
}
$primary->safe_psql('postgres',
	'INSERT INTO jobs (id) SELECT i FROM generate_series(51, 100) i ' . comment('a2'));
$primary->safe_psql('postgres', 'INSERT INTO plain VALUES (1) ' . comment('a3'));
foreach my $format (sort keys %options)
{
	$primary->wait_for_catchup("jobs_$format");
	is( $subscriber->safe_psql(
			"in_$format", 'SELECT trace_context, count(*) FROM jobs GROUP BY 1 ORDER BY 1'),
		context('a1') . "|50\n" . context('a2') . '|50',
		"in $format, copied and streamed rows have the contexts that the publisher captured");
	is($subscriber->safe_psql("in_$format", 'SELECT count(*), count(trace_context) FROM plain'),
		'1|0', "in $format, a column that only the subscriber has stays NULL");
	$subscriber->safe_psql("in_$format", <<'EOSQL');
BEGIN;
SELECT otel.start_span('make reports', otel.link_agg(trace_context), 'consumer', root => true)
  FROM jobs;
UPDATE jobs SET state = 'done';
SELECT otel.end_span();
COMMIT;
EOSQL
	is( $subscriber->safe_psql(
			"in_$format",
			"SELECT string_agg(l.trace_id || ' ' || l.trace_state, ', ' ORDER BY l.trace_id)"
			  . ' FROM otel.span_queue q, otel.span_links(q.links) l'),
		join(', ', map { $_ x 16 . ' congo=t61' } 'a1', 'a2'),
		"in $format, the job's span on the subscriber is linked to the publisher's clients"
	);
	$subscriber->safe_psql("in_$format", "DROP SUBSCRIPTION jobs_$format");
}
is($primary->safe_psql('postgres', 'SELECT count(*) FROM otel.span_queue'),
	0, 'the publisher has no span of these jobs');

# ---- links are read on a physical replica ----
$primary->backup('backup');
my $replica = PostgreSQL::Test::Cluster->new('replica');
$replica->init_from_backup($primary, 'backup', has_streaming => 1);
$replica->start;
$primary->wait_for_catchup($replica, 'replay', $primary->lsn('write'));

my $links = $replica->safe_psql('postgres',
	"SELECT otel.link_agg(trace_context ORDER BY trace_context) FROM jobs");
is($links, '{"(' . context('a1') . ',)","(' . context('a2') . ',)"}', 'a replica reads links');
$primary->safe_psql('postgres',
		"BEGIN; SELECT otel.start_span('from the replica', '$links', root => true);"
	  . ' SELECT otel.end_span(); COMMIT');
is( $primary->safe_psql(
		'postgres',
		"SELECT otel.link_agg(links) = '$links' FROM otel.span_queue
			WHERE name = 'from the replica'"
	),
	't',
	'as text, they are the links of a span on the primary');

my ($status, $out, $err) = $replica->psql('postgres', <<'EOSQL');
SELECT otel.start_span('on the replica') IS NOT NULL;
SELECT otel.set_trace_context('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01');
SELECT otel.current_trace_context()
    /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/;
SELECT pending FROM otel.export_status;
EOSQL
is($status, 0, 'span functions and capture on a replica raise nothing');
like($out, qr/^t\n\n00-4bf92f35.*\n\d+$/,
	'span functions and capture on a replica answer as on a primary');
$primary->wait_for_catchup($replica, 'replay', $primary->lsn('insert'));
is( $replica->safe_psql(
		'postgres', "SELECT count(*) FROM otel.span_queue WHERE name = 'on the replica'"),
	0,
	'a span recorded on a replica is dropped');

$replica->stop;
$subscriber->stop;
$primary->stop;
done_testing();
