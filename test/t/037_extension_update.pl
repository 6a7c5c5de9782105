# ALTER EXTENSION … UPDATE to a later version, while a session records, the exporter is in the
# middle of a request and spans wait.  The later version is written here, into a copy of the
# installation.
use strict;
use warnings;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PrivateTree;
use Session;
use SilentCollector;
use Test::More;

my $tree = PrivateTree->new;
append_to_file($tree->extension_file('otel_links--1.0--9.9.sql'), q{
	ALTER TABLE otel.span_queue ADD COLUMN added text;
	CREATE FUNCTION otel.added() RETURNS pg_catalog.text LANGUAGE sql AS $$ SELECT 'since 9.9' $$;
});

my $receiver = OtelExport->receiver;
my $silent = SilentCollector->new;
my $node = PostgreSQL::Test::Cluster->new('main', install_path => $tree->path);
$node->init;
OtelExport::configure($node, $silent, 'otel.bsp_export_timeout = 3000');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION otel_links');

# what is under way when it comes
my $session = Session->new($node, 'postgres');
$session->ask(q{SELECT otel.record_span('before', now())});
$session->ask(q{SELECT otel.start_span('across', scope => 'session')});
$silent->request;
my $pid = OtelExport::status($node, 'exporter_pid');
isnt($pid, '', 'the exporter is in the middle of a request');
$session->ask('BEGIN');
$session->ask(q{SELECT otel.record_span('undecided', now())});

$node->safe_psql('postgres', q{BEGIN; ALTER EXTENSION otel_links UPDATE TO '9.9'; ROLLBACK});
is($node->safe_psql('postgres',
	q{SELECT extversion FROM pg_extension WHERE extname = 'otel_links'}), '1.0',
	'ALTER EXTENSION … UPDATE may be rolled back');
$node->safe_psql('postgres',
	q{SET lock_timeout = '60s'; ALTER EXTENSION otel_links UPDATE TO '9.9'});
is($node->safe_psql('postgres', 'SELECT otel.added()'), 'since 9.9',
	'an update waits for neither the exporter nor sessions');

$session->ask('COMMIT');
is($session->told, '', 'a session that has the older library commits its spans');
$session->ask('SELECT otel.end_span()');
$session->ask(q{SELECT otel.record_span('by an old session', now())});
is($session->told, '', 'a session that has the older library records further spans');
OtelExport::record($node, 'by a new session', 1);

OtelExport::set($node, "otel.exporter_otlp_endpoint = '" . $receiver->url . "'");
OtelExport::wait_drained($node) or diag($node->safe_psql('postgres', 'TABLE otel.export_status'));
is_deeply([ $receiver->span_names ],
	[ 'across', 'before', 'by a new session-1', 'by an old session', 'undecided' ],
		'every span recorded around the update arrives');
is($receiver->duplicates, 0, 'every span recorded around the update arrives once');
isnt(OtelExport::status($node, 'exporter_pid'), $pid,
	'an exporter that started after the update sends them');

# and what waits is still set aside and queued again
$receiver->answer({ status => 404 });
OtelExport::record($node, 'refused', 1);
OtelExport::wait_sql($node, 'SELECT failed = 1 FROM otel.export_status');
$node->safe_psql('postgres', 'SELECT otel.retry_failed()');
OtelExport::wait_drained($node);
is_deeply([ $receiver->span_names(qr/^refused/) ], ['refused-1'],
	'spans are set aside and queued again as before');
$session->quit;
$node->stop;

done_testing();
