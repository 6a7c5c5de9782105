# otel.trace_context in parallel plans and index-only scans, as they are executed.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
max_parallel_workers_per_gather = 2
parallel_setup_cost = 0
parallel_tuple_cost = 0
min_parallel_table_scan_size = 0
min_parallel_index_scan_size = 0
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION otel_links;
	CREATE TABLE items (id int, context otel.trace_context);
	INSERT INTO items
		SELECT i, otel.from_ids(md5((i % 5000)::text), right(md5((i % 5000)::text), 16), 1,
	                                          CASE WHEN i % 2 = 0 THEN 'n=' || i % 5000 END)
	  FROM generate_series(1, 20000) i;
	CREATE INDEX items_context ON items (context);
});
# VACUUM sets the bits that spare an index-only scan the heap
$node->safe_psql('postgres', 'VACUUM ANALYZE items');

sub explain_analyze
{
	my ($settings, $query) = @_;
	return $node->safe_psql('postgres',
		"$settings; EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) $query");
}

# The workers call the functions and operators of the type; a leader that did it all would prove
# nothing.
my $alone = 'SET max_parallel_workers_per_gather = 0; SET search_path = otel, public';
my $parallel = 'SET parallel_leader_participation = off; SET enable_indexscan = off; '
  . 'SET enable_bitmapscan = off; SET enable_indexonlyscan = off; SET search_path = otel, public';
foreach my $case (
	[ 'a filter',
		'SELECT count(*) FROM items WHERE is_sampled(context) AND trace_id(context) > \'8\'' ],
	[ 'a comparison',
		q{SELECT count(*) FROM items
		WHERE context < '00-80000000000000000000000000000000-00f067aa0ba902b7-01'} ],
	[ 'text output', 'SELECT sum(length(context::text || inject(context)::text)) FROM items' ],
	[ 'hash and sort',
		'SELECT count(DISTINCT context), count(*) FROM items JOIN items b USING (context)' ])
{
	my ($name, $query) = @$case;
	my $plan = explain_analyze($parallel, $query);
	like($plan, qr/Workers Launched: [12]\b.*Parallel (Hash|Seq Scan)/s,
		"$name runs in parallel workers");
	is($node->safe_psql('postgres', "$parallel; $query"),
		$node->safe_psql('postgres', "$alone; $query"),
		"$name in parallel finds what it finds alone");
}

foreach my $case (
	[ 'equality',
		q{SELECT context FROM items
		WHERE context = otel.from_ids(md5('7'), right(md5('7'), 16), 1)} ],
	[ 'an order', 'SELECT context FROM items ORDER BY context LIMIT 10' ])
{
	my ($name, $query) = @$case;
	like(explain_analyze(q{SET max_parallel_workers_per_gather = 0; SET enable_seqscan = off;
			SET enable_bitmapscan = off}, $query),
		qr/Index Only Scan using items_context.*Heap Fetches: 0\b/s,
			"$name is answered by the index alone");
}
is($node->safe_psql('postgres', q{
	SET enable_seqscan = off;
	SELECT count(*), count(DISTINCT context) FROM items
		WHERE context = otel.from_ids(md5('7'), right(md5('7'), 16), 1)
}), '4|1', 'the index finds its rows');

$node->stop;
done_testing();
