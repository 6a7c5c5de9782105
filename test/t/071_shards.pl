# Tables sharded over two servers with postgres_fdw: rows inserted through the coordinating server
# are captured on it, rows inserted on a shard are captured there; two job runners at the same
# time, one on each shard, link every row exactly once; what is shipped to the shards; and a shard
# whose extension is missing.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

use constant ROWS => 2000;

# the superuser that initdb made
my $user = getpwuid($>);

my @shards;
foreach my $i (0, 1)
{
	my $shard = PostgreSQL::Test::Cluster->new("shard_$i");
	$shard->init;
	$shard->append_conf('postgresql.conf', "otel.traces_exporter = none\n");
	$shard->start;
	$shard->safe_psql('postgres', <<'EOSQL');
CREATE EXTENSION otel_links;
CREATE TABLE jobs (id int PRIMARY KEY, path text, state text NOT NULL DEFAULT 'pending');
SELECT otel.add_trace_context('jobs');
EOSQL
	push @shards, $shard;
}

my $node = PostgreSQL::Test::Cluster->new('coordinator');
$node->init;
$node->append_conf('postgresql.conf',
	"otel.traces_exporter = none\nmax_prepared_transactions = 4\n");
$node->start;
if (!$node->safe_psql(
		'postgres', "SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'"))
{
	plan skip_all => 'this PostgreSQL has no postgres_fdw';
}
$node->safe_psql('postgres', <<'EOSQL');
CREATE EXTENSION otel_links;
CREATE EXTENSION postgres_fdw;
CREATE TABLE jobs (id int, path text, state text NOT NULL DEFAULT 'pending') PARTITION BY HASH (id);
SELECT otel.add_trace_context('jobs');
EOSQL
foreach my $i (0, 1)
{
	my ($host, $port) = ($shards[$i]->host, $shards[$i]->port);
	$node->safe_psql('postgres', <<"EOSQL");
CREATE SERVER shard_$i FOREIGN DATA WRAPPER postgres_fdw
    OPTIONS (host '$host', port '$port', dbname 'postgres', extensions 'otel_links');
CREATE USER MAPPING FOR PUBLIC SERVER shard_$i OPTIONS (user '$user');
CREATE FOREIGN TABLE jobs_$i PARTITION OF jobs FOR VALUES WITH (MODULUS 2, REMAINDER $i)
    SERVER shard_$i OPTIONS (table_name 'jobs');
EOSQL
}

sub comment
{
	my ($byte) = @_;
	return "/*traceparent='00-" . ($byte x 16) . "-00f067aa0ba902b7-01',tracestate='congo%3Dt61'*/";
}

sub rows { return $node->safe_psql('postgres', $_[0]) }

# Which context a row has, and where it was captured.
rows("INSERT INTO jobs (id, path) SELECT i, 'through the parent' FROM generate_series(1, 20) i "
	  . comment('a1'));
is( rows(
			"SELECT count(*), min(trace_context::text), max(trace_context::text) FROM jobs"
		  . " WHERE path = 'through the parent'"),
	'20|' . join('|', ('00-' . 'a1' x 16 . '-00f067aa0ba902b7-01;congo=t61') x 2),
	'rows inserted through the partitioned table have the context and tracestate of its statement');
rows(   "COPY jobs (id, path) FROM STDIN "
	  . comment('a2') . ";\n"
	  . join('', map { "$_\tcopied\n" } 21 .. 30)
	  . "\\.\n");
is( rows(
			"SELECT count(*) FROM jobs WHERE path = 'copied'"
		  . " AND otel.trace_id(trace_context) = '"
		  . 'a2' x 16 . "'"),
	10,
	'COPY through the partitioned table captures the context');
$shards[0]->safe_psql('postgres',
	"INSERT INTO jobs (id, path) VALUES (-1, 'on the shard') " . comment('a3'));
is(rows("SELECT otel.trace_id(trace_context) FROM jobs_0 WHERE id = -1"),
	'a3' x 16, 'a row inserted on the shard itself has the context that its client sent there');
rows('DELETE FROM jobs_0');
rows('DELETE FROM jobs_1');

# What is shipped.
my %shipped = (
	'a comparison of contexts' => [
		"SELECT id FROM jobs_0 WHERE trace_context = '00-" . 'a1' x 16 . "-00f067aa0ba902b7-01'",
		qr/Remote SQL: .* WHERE .*trace_context =/ ],

	# a comparison with otel.trace_id() has a collation, so postgres_fdw does not ship it
	'a look-up by trace id, as a range of contexts,' => [
		"SELECT id FROM jobs_0 WHERE trace_context"
		  . " BETWEEN otel.from_ids('"
		  . 'a1' x 16
		  . "', '0000000000000001', 0)"
		  . " AND otel.from_ids('"
		  . 'a1' x 16
		  . "', 'ffffffffffffffff', 255)",
		qr/Remote SQL: .* WHERE \(\(trace_context >= .*\(trace_context <= / ],
	'ORDER BY a context' =>
	  [ 'SELECT id FROM jobs_0 ORDER BY trace_context', qr/Remote SQL: .* ORDER BY trace_context/ ],
	'link_agg over one shard' => [
		'SELECT otel.link_agg(trace_context) FROM jobs_0',
		qr/Remote SQL: SELECT otel\.link_agg\(trace_context\)/ ]);
foreach my $name (sort keys %shipped)
{
	my ($sql, $remote) = @{ $shipped{$name} };
	like(rows("EXPLAIN (VERBOSE, COSTS OFF) $sql"), $remote, "$name is evaluated on the shard");
}
my %kept = (
	'the current context' =>
	  "SELECT id FROM jobs_0 WHERE trace_context = otel.current_trace_context()",
	'a span function' =>
	  "SELECT otel.record_span('x', now(), links => otel.link_agg(trace_context))" . ' FROM jobs_0'
);
foreach my $name (sort keys %kept)
{
	unlike(
		rows("EXPLAIN (VERBOSE, COSTS OFF) $kept{$name}"),
		qr/Remote SQL: .*(current_trace_context|record_span)/,
		"$name is evaluated where it was called");
}

# Two runners, one on each shard, claim batches at the same time as clients insert.
rows(   "INSERT INTO jobs (id, path, trace_context) SELECT i, 'work',"
	  . " otel.from_ids(md5(i::text), left(md5('s' || i), 16), 1)"
	  . ' FROM generate_series(1, '
	  . ROWS
	  . ') i');
my @runners = map { Session->new($_, 'postgres') } @shards;
foreach my $runner (@runners)
{
	$runner->ask(<<'EOSQL');
CREATE PROCEDURE make_reports() LANGUAGE plpgsql AS $$
DECLARE
    claimed int[];
    links   otel.span_link[];
BEGIN
    LOOP
        WITH claim AS (
            SELECT id, trace_context FROM jobs WHERE state = 'pending'
             ORDER BY id LIMIT 90 FOR UPDATE SKIP LOCKED)
        SELECT array_agg(id), otel.link_agg(trace_context) INTO claimed, links FROM claim;
        EXIT WHEN claimed IS NULL;
        PERFORM otel.start_span('make reports', links, kind => 'consumer', root => true);
        UPDATE jobs SET state = 'done' WHERE id = ANY (claimed);
        PERFORM otel.end_span();
        COMMIT;
    END LOOP;
END $$
EOSQL
}
$_->tell('CALL make_reports()') foreach @runners;
$_->answer                      foreach @runners;
$_->quit                        foreach @runners;
is(rows("SELECT count(*) FROM jobs WHERE state = 'pending'"),
	0, 'both runners together work on every row');
my %linked;
foreach my $shard (@shards)
{
	$linked{$_}++
	  foreach split /\n/,
	  $shard->safe_psql('postgres',
		'SELECT l.trace_id FROM otel.span_queue q, otel.span_links(q.links, 1000) l');
}
is(scalar(keys %linked), ROWS, 'every row is linked by a batch span of one of the shards');
is(scalar(grep { $_ != 1 } values %linked), 0, 'no row is linked by more than one batch span');

# The shards make their links, the coordinating server merges them.
like(
	rows(
			'EXPLAIN (VERBOSE, COSTS OFF) SELECT otel.link_agg(links)'
		  . ' FROM (SELECT otel.link_agg(trace_context) AS links FROM jobs_0'
		  . ' UNION ALL SELECT otel.link_agg(trace_context) FROM jobs_1) shard'),
	qr/(Remote SQL: SELECT otel\.link_agg.*){2}/s,
	'link_agg of each shard is evaluated there');
is( rows(
			'SELECT cardinality(otel.link_agg(links))'
		  . ' FROM (SELECT otel.link_agg(trace_context) AS links FROM jobs_0'
		  . ' UNION ALL SELECT otel.link_agg(trace_context) FROM jobs_1'
		  . ' UNION ALL SELECT NULL) shard'
	),
	ROWS,
	'link_agg over their arrays merges them');

# One runner on the coordinating server reads links from both shards; the span is queued where the
# job runs.
rows(<<'EOSQL');
UPDATE jobs SET state = 'pending' WHERE id <= 100;
BEGIN;
SELECT otel.start_span('over both shards', otel.link_agg(trace_context), root => true)
  FROM jobs WHERE state = 'pending';
UPDATE jobs SET state = 'done' WHERE state = 'pending';
SELECT otel.end_span();
COMMIT;
EOSQL
is( rows(q{
	SELECT cardinality(links::otel.span_link[]) FROM otel.span_queue
	 WHERE name = 'over both shards'}),
	100, 'a job on the coordinating server links rows of both shards in one span of its own queue');
is( $shards[0]->safe_psql(
		'postgres', "SELECT count(*) FROM otel.span_queue WHERE name = 'over both shards'"),
	0,
	'no shard has a span of it');

# A transaction that fails on a shard rolls the span back with the work: it is Error.
my ($status, $out, $err) = $node->psql('postgres', <<'EOSQL');
BEGIN;
SELECT otel.start_span('fails on a shard', root => true) IS NOT NULL;
INSERT INTO jobs (id) VALUES (1);
INSERT INTO jobs (id) VALUES (1);
SELECT otel.end_span();
COMMIT;
SELECT 1;
EOSQL
like($err, qr/duplicate key/, 'a failure on a shard is reported');
is( rows(
			'SELECT count(*), min(status_code), min(status_message) FROM otel.span_queue'
		  . " WHERE name = 'fails on a shard'"),
	'1|2|transaction rolled back',
	'the span of a transaction that fails on a shard has status Error');

# The status and the flush of all in one query: export_status and a view are foreign tables, too.
foreach my $i (0, 1)
{
	$shards[$i]->safe_psql('postgres',
		'CREATE VIEW otel_flush AS SELECT otel.force_flush(30000) AS exported');
	rows(<<"EOSQL");
CREATE SCHEMA on_$i;
IMPORT FOREIGN SCHEMA otel LIMIT TO (export_status) FROM SERVER shard_$i INTO on_$i;
IMPORT FOREIGN SCHEMA public LIMIT TO (otel_flush) FROM SERVER shard_$i INTO on_$i;
EOSQL
}
my $pending = 'SELECT pending FROM otel.export_status';
is( rows('SELECT pending FROM on_0.export_status UNION ALL SELECT pending FROM on_1.export_status'),
	join("\n", map { $_->safe_psql('postgres', $pending) } @shards),
	'one query has the export status of all shards');
is( rows('SELECT exported FROM on_0.otel_flush UNION ALL SELECT exported FROM on_1.otel_flush'),
	"0\n0",
	'one query flushes all shards');

# Shards where something is missing: a clear error, and nothing of the user's is lost.
$shards[1]->safe_psql('postgres', 'CREATE DATABASE bare');
$shards[1]->safe_psql('bare',
	"CREATE TABLE jobs (id int, trace_context text);" . " INSERT INTO jobs VALUES (1, NULL)");
my ($host, $port) = ($shards[1]->host, $shards[1]->port);
rows(<<"EOSQL");
CREATE SERVER bare FOREIGN DATA WRAPPER postgres_fdw
    OPTIONS (host '$host', port '$port', dbname 'bare', extensions 'otel_links');
CREATE USER MAPPING FOR PUBLIC SERVER bare OPTIONS (user '$user');
CREATE FOREIGN TABLE bare_jobs
    (id int, trace_context otel.trace_context DEFAULT otel.current_trace_context())
    SERVER bare OPTIONS (table_name 'jobs');
EOSQL
rows('INSERT INTO bare_jobs (id) VALUES (2) ' . comment('a4'));
is( $shards[1]->safe_psql('bare', 'SELECT trace_context FROM jobs WHERE id = 2'),
	'00-' . 'a4' x 16 . '-00f067aa0ba902b7-01;congo=t61',
	'a shard without the extension keeps the context as text');
($status, $out, $err) =
  $node->psql('postgres', 'SELECT otel.link_agg(trace_context) FROM bare_jobs');
like(
	$err,
	qr/(function|schema).*"?otel.*does not exist/s,
	'what is shipped to a shard without the extension is an error that names what is missing');
is( rows(
			'ALTER SERVER bare OPTIONS (DROP extensions);'
		  . ' SELECT cardinality(otel.link_agg(trace_context)) FROM bare_jobs'),
	1,
	'without the option "extensions" such a shard can be read');

$_->stop foreach ($node, @shards);
done_testing();
