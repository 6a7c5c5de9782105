# otel.trace_context through logical replication: in text, in binary, and (text) into a text column
# of a subscriber that does not have the extension.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $publisher = PostgreSQL::Test::Cluster->new('publisher');
$publisher->init(allows_streaming => 'logical');
$publisher->start;
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init;
# three that apply, and three that copy at first
$subscriber->append_conf('postgresql.conf', 'max_logical_replication_workers = 8');
$subscriber->append_conf('postgresql.conf', 'max_worker_processes = 16');
$subscriber->start;

$publisher->safe_psql('postgres', q{
	CREATE EXTENSION otel_links;
	CREATE TABLE items (id int, context otel.trace_context);
	ALTER TABLE items REPLICA IDENTITY FULL;
	INSERT INTO items VALUES
		(1, '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01;a=1,b=2'),
		(2, NULL);
	CREATE PUBLICATION pub FOR TABLE items;
});

my %subscriptions = (
	in_text   => { extension => 1, options => '' },
	in_binary => { extension => 1, options => 'WITH (binary = true)' },
	no_type   => { extension => 0, options => '' });
my $connstr = $publisher->connstr . ' dbname=postgres';
foreach my $name (sort keys %subscriptions)
{
	my $subscription = $subscriptions{$name};
	$subscriber->safe_psql('postgres', "CREATE DATABASE $name");
	$subscriber->safe_psql($name, 'CREATE EXTENSION otel_links') if $subscription->{extension};
	my $type = $subscription->{extension} ? 'otel.trace_context' : 'text';
	$subscriber->safe_psql($name, qq{
		CREATE TABLE items (id int, context $type);
		CREATE SUBSCRIPTION sub_$name CONNECTION '$connstr'
			PUBLICATION pub $subscription->{options};
	});
}
foreach my $name (sort keys %subscriptions)
{
	$subscriber->poll_query_until($name,
		q{SELECT count(*) = 0 FROM pg_subscription_rel WHERE srsubstate NOT IN ('r', 's')})
	  or die "the first copy to $name did not end";
}

# with REPLICA IDENTITY FULL the subscriber finds rows by comparing contexts; the last has a value
# that is toasted and stays as it is
$publisher->safe_psql('postgres', q{
	INSERT INTO items VALUES (3, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff');
	INSERT INTO items
	SELECT 4, otel.from_traceparent('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
		string_agg(
		'k' || i || '=' || (SELECT string_agg(md5((i * 100 + j)::text), '')
			FROM generate_series(1, 8) j), ','))
	  FROM generate_series(1, 32) i;
	INSERT INTO items VALUES (5, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02;gone=1');
	UPDATE items SET context = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00'
		WHERE id = 2;
	UPDATE items SET context = NULL WHERE id = 1;
	DELETE FROM items WHERE id = 5;
	UPDATE items SET id = 40 WHERE id = 4;
});
my $content = 'SELECT id, context FROM items ORDER BY id';
my $expected = $publisher->safe_psql('postgres', $content);
like($expected, qr/^1\|\n2\|00-4bf9.*-00\n3\|00-0af7.*-ff\n40\|00-0af7.{50,}$/,
	'the publisher has the four rows that the changes leave');

my %title = (
	in_text   => 'in text, into the type',
	in_binary => 'in binary, into the type',
	no_type   => 'in text, into a text column where the extension is not installed');
foreach my $name (sort keys %subscriptions)
{
	$publisher->wait_for_catchup("sub_$name");
	is($subscriber->safe_psql($name, $content), $expected,
		"rows are copied, inserted, updated and deleted $title{$name}");
	$subscriber->safe_psql($name, "DROP SUBSCRIPTION sub_$name");
}

$subscriber->stop;
$publisher->stop;
done_testing();
