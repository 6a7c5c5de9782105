# Captured rows and links in partitioned tables: partitions that are attached and detached, have
# their columns in another order, receive moved rows, are chosen by the context's hash; and
# link_agg in partitionwise and parallel plans.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "otel.traces_exporter = none\n");
$node->start;

# A comment that carries the trace id made of one repeated byte.
sub comment { return "/*traceparent='00-" . ($_[0] x 16) . "-00f067aa0ba902b7-01'*/" }

sub rows
{
	my ($sql) = @_;
	return $node->safe_psql('postgres', $sql);
}

$node->safe_psql('postgres', <<'EOSQL');
CREATE EXTENSION otel_links;
CREATE TABLE jobs (id int, day date, path text) PARTITION BY RANGE (day);
CREATE TABLE jobs_jan PARTITION OF jobs FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
SELECT otel.add_trace_context('jobs');
CREATE TABLE jobs_feb PARTITION OF jobs FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
-- the same columns in another order, and a dropped one
CREATE TABLE jobs_mar (path text, trace_context otel.trace_context, gone int, day date, id int);
ALTER TABLE jobs_mar DROP COLUMN gone;
ALTER TABLE jobs ATTACH PARTITION jobs_mar FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
EOSQL

$node->safe_psql('postgres',
	"INSERT INTO jobs (id, day, path)
		VALUES (1, '2026-01-05', 'insert'), (2, '2026-02-05', 'insert'),"
	  . " (3, '2026-03-05', 'insert') "
	  . comment('a1'));
$node->safe_psql('postgres',
		"COPY jobs (id, day, path) FROM STDIN "
	  . comment('a2') . ";\n"
	  . "4\t2026-01-09\tcopy\n5\t2026-02-09\tcopy\n6\t2026-03-09\tcopy\n\\.\n");
$node->safe_psql('postgres',
		"INSERT INTO jobs_feb (id, day, path) VALUES"
	  . " (7, '2026-02-11', 'direct') "
	  . comment('a3'));
is( rows(
		"SELECT string_agg(id || ':' || left(otel.trace_id(trace_context), 2), ' ' ORDER BY id)
			FROM jobs"
	),
	'1:a1 2:a1 3:a1 4:a2 5:a2 6:a2 7:a3',
	'rows of partitions made before, made later and attached have their statement\'s context'
);

$node->safe_psql('postgres',
		"INSERT INTO jobs_mar (id, day, path) VALUES"
	  . " (8, '2026-03-12', 'direct') "
	  . comment('a4'));
is(rows('SELECT trace_context IS NULL FROM jobs WHERE id = 8'), 't',
	'a partition attached without the default captures nothing of a direct INSERT'
);

$node->safe_psql('postgres',
	"UPDATE jobs SET day = '2026-03-20', path = 'moved' WHERE id = 2 " . comment('b1'));
is( rows("SELECT tableoid::regclass, left(otel.trace_id(trace_context), 2) FROM jobs WHERE id = 2"),
	'jobs_mar|a1', 'a row that an UPDATE moves to another partition keeps its context');

$node->safe_psql('postgres', 'ALTER TABLE jobs DETACH PARTITION jobs_feb');
$node->safe_psql('postgres',
		"INSERT INTO jobs_feb (id, day, path) VALUES"
	  . " (9, '2026-02-12', 'detached') "
	  . comment('a5'));
is(rows('SELECT left(otel.trace_id(trace_context), 2) FROM jobs_feb WHERE id = 9'),
	'a5', 'a detached partition goes on capturing');
is( rows(
			"SELECT string_agg(left(otel.trace_id(context), 2), ' ')"
		  . ' FROM unnest((SELECT otel.link_agg(trace_context ORDER BY id) FROM jobs))'),
	'a1 a2',
	'link_agg reads all partitions that are attached');

# Hash partitions by the context itself.
$node->safe_psql('postgres', <<'EOSQL');
CREATE TABLE hashed (n int, trace_context otel.trace_context DEFAULT otel.current_trace_context())
    PARTITION BY HASH (trace_context);
CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE hashed_2 PARTITION OF hashed FOR VALUES WITH (MODULUS 3, REMAINDER 2);
INSERT INTO hashed
SELECT i, otel.from_ids(md5(i::text), left(md5('s' || i), 16), 1) FROM generate_series(1, 3000) i;
INSERT INTO hashed (n) VALUES (0);
EOSQL
is( rows(
			'SELECT count(DISTINCT tableoid), min(count) > 800'
		  . ' FROM (SELECT tableoid, count(*) FROM hashed GROUP BY tableoid) t'),
	'3|t',
	'hash partitioning by the context spreads the rows, NULL included');
my $one = rows('SELECT trace_context FROM hashed WHERE n = 7');
unlike(rows("EXPLAIN (COSTS OFF) SELECT * FROM hashed WHERE trace_context = '$one'"),
	qr/hashed_\d.*hashed_\d/s, 'a comparison with one context prunes all hash partitions but one');
is(rows("SELECT n FROM hashed WHERE trace_context = '$one'"), '7',
	'a comparison with one context finds its row');

# Every plan counts the same links.
my $count = 'SELECT cardinality(otel.link_agg(trace_context)),'
  . " cardinality(otel.link_agg(trace_context, jsonb_build_object('n', n % 2))) FROM hashed";
my $eager = 'SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;'
  . ' SET min_parallel_table_scan_size = 0;';
my %plans = (
	'partitionwise' => [
		'SET enable_partitionwise_aggregate = on;' . ' SET max_parallel_workers_per_gather = 0;',
		qr/Partial Aggregate/ ],
	'parallel' => [ "$eager SET enable_parallel_append = off;", qr/Gather.*Partial Aggregate/s ],
	'partitionwise and parallel' =>
	  [ "$eager SET enable_partitionwise_aggregate = on;", qr/Gather.*Partial Aggregate/s ]);
is(rows("SET max_parallel_workers_per_gather = 0; $count"),
	'3000|3000', 'a plain plan has one link for each context');
foreach my $name (sort keys %plans)
{
	my ($settings, $plan) = @{ $plans{$name} };
	like(rows("$settings EXPLAIN (COSTS OFF) $count"), $plan, "the plan is $name");
	is(rows("$settings $count"), '3000|3000', "a $name plan has one link for each context");
}

# A batch over all partitions links every row once.
$node->safe_psql('postgres', <<'EOSQL');
SET otel.span_link_count_limit = 5000;
BEGIN;
SELECT otel.start_span('batch', otel.link_agg(trace_context), root => true) FROM hashed;
DELETE FROM hashed;
SELECT otel.end_span();
COMMIT;
EOSQL
is( rows(q{
	SELECT sum(cardinality(links::otel.span_link[])), sum(dropped_links_count)
	  FROM otel.span_queue}),
	'3000|0', 'the span of a batch over all partitions is linked to every row');

$node->stop;
done_testing();
