# A queue that its owner has made unlogged: spans are exported as ever, a crash of the server
# empties it, and what is recorded afterwards is exported.
use strict;
use warnings;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $receiver = OtelExport->receiver;
my $node = OtelExport::node('main', $receiver);
$node->safe_psql('postgres', 'ALTER TABLE otel.span_queue SET UNLOGGED');
OtelExport::record($node, 'before', 5);
OtelExport::wait_drained($node);
is_deeply([ $receiver->span_names(qr/^before/) ], [ OtelExport::names('before', 5) ],
	'spans of an unlogged queue are exported');
OtelExport::set($node, "otel.traces_exporter = 'none'");
OtelExport::wait_sql($node, 'SELECT NOT exporter_running FROM otel.export_status');
OtelExport::record($node, 'lost', 5);
is(OtelExport::status($node, 'pending'), 5, 'spans wait in an unlogged queue');
$node->stop('immediate');
$node->start;
is(OtelExport::status($node, 'pending'), 0, 'a crash of the server empties an unlogged queue');
OtelExport::set($node, "otel.traces_exporter = 'otlp'");
OtelExport::wait_sql($node, q{SELECT current_setting('otel.traces_exporter') = 'otlp'});
OtelExport::record($node, 'after', 5);
OtelExport::wait_drained($node);
is_deeply([ $receiver->span_names(qr/^after/) ], [ OtelExport::names('after', 5) ],
	'an unlogged queue is used as ever after a crash');

done_testing();
