# The initial copy of a subscription brings another server's state and spans along: the exporter of
# the subscriber goes on as if they were not there.
use strict;
use warnings;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $receiver = OtelExport->receiver;
my $publisher = OtelExport::node('publisher', $receiver);
my $subscriber = OtelExport::node('subscriber', $receiver);

sub arrived
{
	my ($name, $test) = @_;
	OtelExport::record($subscriber, $name, 1);
	$subscriber->safe_psql('postgres', 'SELECT otel.force_flush(10000)');
	is_deeply([ $receiver->span_names(qr/^$name/) ], ["$name-1"], $test);
}

OtelExport::record($publisher, 'published', 3);
OtelExport::wait_drained($publisher);
OtelExport::set($publisher, "otel.traces_exporter = 'none'");
OtelExport::wait_sql($publisher, 'SELECT NOT exporter_running FROM otel.export_status');
$publisher->safe_psql('postgres', q{
	SELECT otel.record_span('waiting-1', now(),
		links => otel.link_agg(otel.from_ids(md5('a'), left(md5('b'), 16), 1, 'a=1'),
			'{"a": "é"}'))});
my $links = q{SELECT links FROM otel.%s WHERE name = 'waiting-1'};
$links = [ map { sprintf $links, $_ } qw(span_queue failed_spans) ];
$publisher->safe_psql('postgres', 'CREATE PUBLICATION everything FOR ALL TABLES');
arrived('before', 'the subscriber exports before it subscribes');
my $exported = OtelExport::status($subscriber, 'exported');

my $connection = $publisher->connstr('postgres') =~ s/'/''/gr;
$subscriber->safe_psql('postgres',
	"CREATE SUBSCRIPTION everything CONNECTION '$connection' PUBLICATION everything
	   WITH (binary = true)");		# PostgreSQL 16 and later copy like that, 15 as text
ok(OtelExport::wait_sql($subscriber, 'SELECT count(*) = 2 FROM otel.exporter_state'),
	"the initial copy brings the publisher's state along");
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM otel.export_status'), 1,
	"export_status has one row beside a copy of another server's state");
is(OtelExport::status($subscriber, 'exported'), $exported,
	"export_status counts what this server has exported, not what the other has");
arrived('after', "the exporter goes on beside a copy of another server's state");
$subscriber->safe_psql('postgres',
	'SELECT pg_terminate_backend(exporter_pid) FROM otel.export_status');
arrived('restarted', "an exporter starts beside a copy of another server's state");
is(OtelExport::status($subscriber, 'exported'), $exported + 2,
	'spans are counted in the state of their own server');
ok(OtelExport::wait_sql($subscriber, 'SELECT count(*) = 1 FROM otel.failed_spans'),
	"the publisher's waiting spans are copied and leave the queue");
is_deeply([ $receiver->span_names(qr/^waiting/) ], [],
	"the publisher's waiting spans are not exported by the subscriber");
is($subscriber->safe_psql('postgres', 'SELECT DISTINCT error FROM otel.failed_spans'),
	'recorded by another server or database, of which this one is a copy',
	"the publisher's waiting spans are set aside with the reason");
is($subscriber->safe_psql('postgres', $links->[1]), $publisher->safe_psql('postgres', $links->[0]),
	'their links are those that the publisher has');

done_testing();
