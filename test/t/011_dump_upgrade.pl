# otel.trace_context through pg_dump, pg_restore and pg_upgrade.  pg_upgrade takes the files over as
# they are, so the stored bytes are pinned here: when that test fails, what must change is not the
# test.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $old = PostgreSQL::Test::Cluster->new('old');
$old->init;
$old->start;
$old->safe_psql('postgres', q{
	CREATE EXTENSION otel_links;
	CREATE TABLE items (
		id int PRIMARY KEY,
		context otel.trace_context
			DEFAULT '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
		contexts otel.trace_context[],
		CHECK (context <> '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02')
	);
	INSERT INTO items
	SELECT i, context, ARRAY[context, NULL]
	  FROM generate_series(1, 1000) i,
	       otel.from_ids(md5(i::text), right(md5((-i)::text), 16), i % 256,
	                     CASE WHEN i % 2 = 0 THEN 'n=' || i END) context;
	-- one that is compressed and one that is stored out of line
	INSERT INTO items (id, context)
	SELECT 1001, otel.from_traceparent('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
	                                   string_agg('k' || i || '=' || repeat('v', 256), ','))
	  FROM generate_series(1, 32) i;
	INSERT INTO items (id, context)
	SELECT 1002, otel.from_traceparent('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
	           string_agg('k' || i || '=' || (SELECT string_agg(md5((i * 100 + j)::text), '')
	                                            FROM generate_series(1, 8) j), ','))
	  FROM generate_series(1, 32) i;
	INSERT INTO items VALUES (1003, NULL, NULL), (1004, DEFAULT, NULL);
	-- no btree holds a row of more than a third of a page
	CREATE INDEX items_btree ON items (context) WHERE id <= 1000;
	CREATE INDEX items_hash ON items USING hash (context);
	CREATE TABLE parted (context otel.trace_context) PARTITION BY HASH (context);
	CREATE TABLE parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
	CREATE TABLE parted_1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1);
	INSERT INTO parted SELECT context FROM items WHERE context IS NOT NULL;
	CREATE VIEW sampled AS SELECT id FROM items WHERE otel.is_sampled(context);
	-- expressions that look "=" up by its bare name
	CREATE TABLE batches (context otel.trace_context PRIMARY KEY);
	INSERT INTO batches SELECT context FROM items WHERE id <= 10;
	CREATE TABLE done (context otel.trace_context REFERENCES batches);
	INSERT INTO done SELECT context FROM batches ORDER BY context LIMIT 5;
	CREATE VIEW by_name AS SELECT id FROM items JOIN batches b USING (context)
		WHERE context IN (SELECT context FROM done) AND NULLIF(context, NULL) IS DISTINCT FROM NULL;
	CREATE MATERIALIZED VIEW pending AS SELECT context FROM batches NATURAL JOIN done;
	CREATE UNIQUE INDEX ON pending (context);
});

my $content = q{
	SELECT id, context, contexts FROM items ORDER BY id;
	SELECT tableoid::regclass, count(*), md5(string_agg(context::text, ',' ORDER BY context))
		FROM parted GROUP BY 1 ORDER BY 1;
	SELECT count(*) FROM sampled;
	SELECT count(*) FROM by_name;
	SELECT count(*) FROM pending;
};
my $expected = $old->safe_psql('postgres', $content);

# How many of the first 1,000 rows an index finds; the plan is the proof that it is the index that
# does.
my %other = (items_btree => 'items_hash', items_hash => 'items_btree');

sub found_by_index
{
	my ($node, $database, $index) = @_;
	my $query = q{SELECT count(*) FROM items a JOIN items b ON a.context = b.context AND a.id = b.id
		WHERE a.id <= 1000 AND b.id <= 1000};
	my $output = $node->safe_psql($database, qq{
		BEGIN;
		DROP INDEX $other{$index};
		SET LOCAL enable_hashjoin = off;
		SET LOCAL enable_mergejoin = off;
		SET LOCAL enable_bitmapscan = off;
		ALTER TABLE items DROP CONSTRAINT items_pkey;
		EXPLAIN (COSTS off) $query;
		$query;
		ROLLBACK;
	});
	my ($plan, $count) = $output =~ /^(.*)^(\d+)$/ms;
	return $plan =~ /Index (?:Only )?Scan using $index/ ? $count : $output;
}

is($old->safe_psql('postgres',
	q{SELECT attstorage, pg_column_size(context) < 10000 FROM items, pg_attribute
	WHERE id = 1001 AND attrelid = 'items'::regclass AND attname = 'context'}), 'm|t',
		'a long value is compressed');
is($old->safe_psql('postgres',
	q{SELECT count(*) > 0 AND max(pg_column_size(context)) > 8192 FROM items WHERE id = 1002}), 't',
	'a long value that does not compress is stored out of line');

# dump and restore
my $dump = PostgreSQL::Test::Utils::tempdir . '/dump';
$old->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $old->connstr('postgres') ],
	'pg_dump dumps a database with contexts');
$old->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE template0');
$old->command_ok(
	[ 'pg_restore', '--exit-on-error', '-d', $old->connstr('restored'), $dump ],
	'pg_restore restores the dump');
is($old->safe_psql('restored', $content), $expected, 'pg_restore restores every value');
foreach my $index ('items_btree', 'items_hash')
{
	is(found_by_index($old, 'restored', $index), '1000', "$index is restored and finds every row");
}
$old->safe_psql('postgres', 'DROP DATABASE restored');

# the layout: a varlena of flags, trace id, span id and tracestate, with a short header
$old->safe_psql('postgres', q{
	CREATE TABLE layout (context otel.trace_context);
	INSERT INTO layout VALUES ('00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-a5;vendor=1'),
	                          ('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03');
	CHECKPOINT;
});
my $little_endian = unpack('h*', pack('s', 1)) =~ /^1/;
my $page = slurp_file($old->data_dir . '/'
	. $old->safe_psql('postgres', q{SELECT pg_relation_filepath('layout')}));
foreach my $stored (
	[ 'with a tracestate',
		'a5' . '4bf92f3577b34da6a3ce929d0e0e4736' . '00f067aa0ba902b7' . unpack('H*', 'vendor=1') ],
	[ 'without one', '03' . '0af7651916cd43dd8448eb211c80319c' . 'b7ad6b7169203331' ])
{
	my $payload = pack('H*', $stored->[1]);
	my $size = length($payload) + 1;
	my $value = pack('C', $little_endian ? $size << 1 | 1 : $size | 0x80) . $payload;
	ok(index($page, $value) >= 0, "the stored bytes of a value $stored->[0] are as documented");
}
$old->safe_psql('postgres', 'DROP TABLE layout');

# upgrade
my $new = PostgreSQL::Test::Cluster->new('new');
$new->init;
$old->stop;
my $bindir = $new->config_data('--bindir');
# pg_upgrade writes into the folder it is started in
chdir($PostgreSQL::Test::Utils::tmp_check) or die "chdir: $!";
command_ok(
	[
		'pg_upgrade', '--no-sync',
		'-d', $old->data_dir, '-D', $new->data_dir,
		'-b', $bindir, '-B', $bindir,
		'-s', $new->host, '-p', $old->port, '-P', $new->port
	],
	'pg_upgrade upgrades a cluster with contexts');
$new->start;
is($new->safe_psql('postgres', $content), $expected, 'every value is there after pg_upgrade');
foreach my $index ('items_btree', 'items_hash')
{
	is(found_by_index($new, 'postgres', $index), '1000', "$index finds every row after pg_upgrade");
}
$new->safe_psql('postgres', q{INSERT INTO items (id) VALUES (2000)});
$new->safe_psql('postgres', 'REFRESH MATERIALIZED VIEW CONCURRENTLY pending');
is($new->safe_psql('postgres', q{SELECT context FROM items WHERE id = 2000}),
	'00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
		'after pg_upgrade a default fills new rows');
is($new->safe_psql('postgres', q{SELECT count(*) FROM pg_operator o
	JOIN pg_depend d ON d.classid = 'pg_operator'::regclass AND d.objid = o.oid AND deptype = 'e'
	WHERE oprnamespace = 'pg_catalog'::regnamespace}), '6',
		'the operators are members of the extension again');
$new->safe_psql('postgres', 'SET client_min_messages = error; DROP EXTENSION otel_links CASCADE');
is($new->safe_psql('postgres', q{SELECT (SELECT count(*) FROM pg_operator WHERE oid >= 16384)
	+ (SELECT count(*) FROM pg_type WHERE typname LIKE '%trace_context')}), '0',
		'after pg_upgrade DROP EXTENSION removes the operators');

$new->stop;
done_testing();
