# A FOR ALL TABLES publication whose subscriber does not have the extension goes on while spans are
# queued, exported, and moved to the tables beside the queue.  (A subscription that is made, or
# refreshed, after CREATE EXTENSION wants every table of the publisher, the extension's like
# others.)
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use lib 'test/t';
use OtelExport;

my $receiver = OtelExport->receiver;
my $publisher = PostgreSQL::Test::Cluster->new('publisher');
$publisher->init(allows_streaming => 'logical');
OtelExport::configure($publisher, $receiver, 'otel.retention = 3600', 'max_worker_processes = 20');
$publisher->start;
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init;
$subscriber->start;

$publisher->safe_psql('postgres', q{
	CREATE TABLE work (id int PRIMARY KEY);
	CREATE PUBLICATION everything FOR ALL TABLES;
});
$subscriber->safe_psql('postgres', 'CREATE TABLE work (id int PRIMARY KEY)');
$subscriber->safe_psql('postgres',
	"CREATE SUBSCRIPTION everything CONNECTION '${\$publisher->connstr} dbname=postgres'
	PUBLICATION everything WITH (copy_data = false)");
$publisher->safe_psql('postgres', q{
	CREATE EXTENSION otel_links;
	-- so many links that they are stored out of line
	CREATE FUNCTION many_links() RETURNS otel.span_link[] LANGUAGE sql AS $$
		SELECT otel.link_agg(otel.from_ids(md5(i::text), left(md5((-i)::text), 16), 1),
			jsonb_build_object('salt', md5((i * 7)::text)))
		  FROM generate_series(1, 1000) i
	$$;
});
# another reader of the same changes, to see that there is nothing of the queue in them
$publisher->safe_psql('postgres',
	q{SELECT pg_create_logical_replication_slot('reader', 'pgoutput')});

my $id = 0;
sub work_with_spans
{
	my ($name) = @_;
	$id++;
	$publisher->safe_psql('postgres', qq{
		SET otel.span_link_count_limit = 1000;
		BEGIN;
		INSERT INTO work VALUES ($id);
		SELECT otel.start_span('$name', many_links());
		SELECT otel.add_event('event');
		SELECT otel.end_span();
		COMMIT;
		SELECT otel.record_span('$name', now())});
}

sub is_replicated
{
	my ($what) = @_;
	$publisher->wait_for_catchup('everything');
	is($subscriber->safe_psql('postgres', 'SELECT max(id) FROM work'), $id, $what);
}

work_with_spans('exported');
is_replicated('a transaction that queues a span is replicated');
ok(OtelExport::wait_until(sub { $receiver->spans == 2 }),
	'spans of a published database are exported');
ok(OtelExport::wait_sql($publisher, 'SELECT count(*) = 2 FROM otel.exported_spans'),
	'exported spans of a published database are kept');
work_with_spans('exported too');
is_replicated('exporting and keeping spans does not disturb the subscriber');

$receiver->answer({ status => 401, times => 0 });
work_with_spans('refused');
ok(OtelExport::wait_sql($publisher, 'SELECT count(*) >= 2 FROM otel.failed_spans'),
	'refused spans of a published database are set aside');
$id++;
$publisher->safe_psql('postgres', "INSERT INTO work VALUES ($id)");
is_replicated('setting spans aside does not disturb the subscriber');
$receiver->answer({});
$publisher->safe_psql('postgres', 'SELECT otel.retry_failed()');
ok(OtelExport::wait_sql($publisher, 'SELECT count(*) >= 6 FROM otel.exported_spans'),
	'spans set aside are queued again and exported');
$id++;
$publisher->safe_psql('postgres', "INSERT INTO work VALUES ($id)");
is_replicated('queueing spans again does not disturb the subscriber');

my @tables = split /\n/, $publisher->safe_psql('postgres', q{
	SELECT DISTINCT (regexp_match(encode(data, 'escape'), '^R.*(public|otel)\\\\000([a-z_]+)'))[2]
	  FROM pg_logical_slot_get_binary_changes('reader', NULL, NULL, 'proto_version', '1',
	    'publication_names', 'everything')
	 WHERE get_byte(data, 0) = ascii('R')});
is("@tables", 'work', 'the publication has none of the tables of the extension in its changes');
unlike(slurp_file($subscriber->logfile), qr/ERROR/, 'the subscriber\'s log has no error');

$_->stop for $subscriber, $publisher;
$receiver->stop;
done_testing();
