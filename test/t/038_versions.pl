# From every version to the present one: the catalog is then that of a new install, and tables,
# indexes, triggers, open sessions and spans that wait come along.  As long as there is one version,
# and to prove that the comparison sees a difference, the next ones are made up in a copy of the
# installation.
use strict;
use warnings;
use File::Basename;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PrivateTree;
use Session;
use Test::More;

my $traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
my $tree = PrivateTree->new;
my $describe = slurp_file(dirname(__FILE__) . '/catalog.sql');

sub default_version
{
	my $control = slurp_file($tree->extension_file('otel_links.control'));
	my ($version) = $control =~ /^default_version = '(.*)'/m;
	return $version;
}

# The versions that can be installed, in their order.
sub versions
{
	my %found = map { /--([^-]+)\.sql$/ ? ($1 => 1) : () }
	  grep { !/--.*--/ } glob($tree->extension_file('otel_links--*.sql'));
	return map { join '.', unpack 'C*', $_ } sort map { pack 'C*', split /\./ } keys %found;
}

# Begins a version as scripts/new-version does; what it installs and what updates to it may differ.
sub make_up
{
	my ($version, $installs, $updates) = @_;
	my $before = default_version();
	my $control = $tree->extension_file('otel_links.control');
	my $text = slurp_file($control) =~ s/^default_version = .*/default_version = '$version'/mr;
	append_to_file($tree->extension_file("otel_links--$version.sql"),
		slurp_file($tree->extension_file("otel_links--$before.sql")) . $installs);
	append_to_file($tree->extension_file("otel_links--$before--$version.sql"), $updates);
	unlink $control;
	append_to_file($control, $text);
}

my $addition = q{
ALTER TABLE otel.span_queue ADD COLUMN added pg_catalog.text;
ALTER TABLE otel.failed_spans ADD COLUMN added pg_catalog.text;
ALTER TABLE otel.exported_spans ADD COLUMN added pg_catalog.text;
CREATE FUNCTION otel.added() RETURNS pg_catalog.text LANGUAGE sql AS $$ SELECT 'since 9.1' $$;
};
my @versions = versions();
if (@versions == 1)
{
	make_up('9.1', $addition, $addition);
	@versions = versions();
}
my $current = default_version();
is($versions[-1], $current, 'the default version is the last one');

my $receiver = OtelExport->receiver;
my $node = PostgreSQL::Test::Cluster->new('main', install_path => $tree->path);
$node->init;
OtelExport::configure($node, $receiver);
$node->start;

sub catalog
{
	my ($database) = @_;
	return [ split /\n/, $node->safe_psql($database, "SET search_path = '';\n$describe") ];
}

# What to compare with.
$node->safe_psql('postgres', 'CREATE DATABASE fresh');
$node->safe_psql('fresh', 'CREATE EXTENSION otel_links');
my $fresh = catalog('fresh');

foreach my $version (grep { $_ ne $current } @versions)
{
	my $database = 'from_' . ($version =~ s/\./_/gr);
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, qq{
		CREATE EXTENSION otel_links VERSION '$version';
		ALTER DATABASE $database SET otel.traces_exporter = none;
		CREATE TABLE jobs (id int);
		SELECT otel.add_trace_context('jobs');
		CREATE INDEX ON jobs (trace_context);
		CREATE INDEX ON jobs USING hash (otel.trace_id(trace_context));
		CREATE TABLE mails (id int, headers jsonb, context otel.trace_context);
		CREATE TRIGGER context BEFORE INSERT ON mails
			FOR EACH ROW EXECUTE FUNCTION otel.capture_trace_context('headers');
		CREATE VIEW links AS SELECT otel.link_agg(trace_context) AS links FROM jobs;
	});
	my $session = Session->new($node, $database);
	$session->ask("INSERT INTO jobs VALUES (1) /*traceparent='$traceparent'*/");
	$session->ask("SELECT otel.record_span('waits in $version', now(), links => links) FROM links");
	$session->ask("SELECT otel.start_span('across $version', scope => 'session')");

	$node->safe_psql($database, 'ALTER EXTENSION otel_links UPDATE');
	is_deeply(catalog($database), $fresh,
		"the catalog updated from $version is that of a new install");

	is($session->ask(q{INSERT INTO jobs VALUES (2)
			RETURNING trace_context = otel.current_trace_context() AND trace_context IS NOT NULL}),
		't', 'a session goes on: the context of its open span is that of a row');
	$session->ask('SELECT otel.end_span()');
	is($session->told, '', "a session from before the update from $version ends its span");
	is($session->ask(qq{
		SET enable_seqscan = off;
		SELECT id FROM jobs WHERE trace_context = '$traceparent';
		SELECT id FROM jobs WHERE otel.trace_id(trace_context) = otel.trace_id('$traceparent');
		INSERT INTO mails VALUES (2) /*traceparent='$traceparent'*/;
		SELECT headers ->> 'traceparent' FROM mails WHERE id = 2;
		SELECT cardinality(links) > 0 FROM links}), "1\n1\n$traceparent\nt",
		"tables, indexes, triggers and views made by $version work");
	$session->quit;

	$node->safe_psql('postgres', "ALTER DATABASE $database RESET otel.traces_exporter");
	$node->safe_psql($database, 'SELECT otel.force_flush()');
	is_deeply([ sort $receiver->span_names(qr/ \Q$version\E$/) ],
		[ "across $version", "waits in $version" ], "spans that waited with $version arrive");
	is($node->safe_psql($database, 'SELECT pending, failed FROM otel.export_status'), '0|0',
		'every one of them');
}

# Is a forgotten line in an update script seen?
make_up('9.2', $addition =~ s/added\b/more/gr, '-- nothing');
$node->safe_psql('postgres', 'CREATE DATABASE forgotten');
$node->safe_psql('forgotten',
	"CREATE EXTENSION otel_links VERSION '$current'; ALTER EXTENSION otel_links UPDATE");
$node->safe_psql('postgres', 'CREATE DATABASE fresh_next');
$node->safe_psql('fresh_next', 'CREATE EXTENSION otel_links');
my %updated = map { $_ => 1 } @{ catalog('forgotten') };
my @missing = grep { !$updated{$_} } @{ catalog('fresh_next') };
is(scalar(grep { /^column .*\.more text/ } @missing), 3,
	'a column that the update script forgets is seen');
is(scalar(grep { /^function otel\.more\(\) / } @missing), 1, 'a function that is missing is named');
$node->stop;

done_testing();
