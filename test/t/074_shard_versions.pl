# A shard that has another version of the extension than the coordinating server, or lacks its
# files: a clear error, and nothing is lost.  (071_shards.pl: one without the extension.)
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use PrivateTree;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('coordinator');
$node->init;
$node->append_conf('postgresql.conf', 'otel.traces_exporter = none');
$node->start;
if (!$node->safe_psql(
		'postgres', "SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'"))
{
	plan skip_all => 'this PostgreSQL has no postgres_fdw';
}

# The shard's installation also has a version that cannot aggregate links.
my $tree = PrivateTree->new;
my $script = slurp_file($tree->extension_file('otel_links--1.0.sql'));
append_to_file($tree->extension_file('otel_links--0.9.sql'),
	"$script\nDROP AGGREGATE otel.link_agg(otel.trace_context);\n");
my $shard = PostgreSQL::Test::Cluster->new('shard', install_path => $tree->path);
$shard->init;
$shard->append_conf('postgresql.conf', 'otel.traces_exporter = none');
$shard->start;
$shard->safe_psql('postgres', q{
	CREATE EXTENSION otel_links VERSION '0.9';
	CREATE TABLE jobs (id int);
	SELECT otel.add_trace_context('jobs')});

my ($host, $port) = ($shard->host, $shard->port);
my $user = getpwuid($>);
$node->safe_psql('postgres', qq{
	CREATE EXTENSION otel_links;
	CREATE EXTENSION postgres_fdw;
	CREATE TABLE done (id int);
	CREATE SERVER shard FOREIGN DATA WRAPPER postgres_fdw
		OPTIONS (host '$host', port '$port', dbname 'postgres', extensions 'otel_links');
	CREATE USER MAPPING FOR PUBLIC SERVER shard OPTIONS (user '$user');
	CREATE FOREIGN TABLE jobs (id int, trace_context otel.trace_context
		DEFAULT otel.current_trace_context()) SERVER shard});

sub run
{
	my ($sql) = @_;
	my ($status, $out, $error) = $node->psql('postgres', $sql);
	return $status == 0 ? $out : $error;
}

my $comment = "/*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/";
my $links = 'SELECT otel.link_agg(trace_context) FROM jobs';
my $job = "BEGIN; INSERT INTO done VALUES (1); $links; DELETE FROM jobs; COMMIT";
my $rows = q{SELECT string_agg(id || ' ' || left(otel.trace_id(trace_context), 4), ', ' ORDER BY id)
	FROM jobs};

# ---- another version ----
run("INSERT INTO jobs (id) VALUES (1) $comment");
is($shard->safe_psql('postgres', $rows), '1 4bf9',
	'a shard with another version keeps the context');
like(run("EXPLAIN (VERBOSE, COSTS OFF) $links"), qr/Remote SQL: SELECT otel\.link_agg\(/,
	'what its version lacks is shipped to it');
like(run($job), qr/function otel\.link_agg\(otel\.trace_context\) does not exist/,
	'what its version lacks is an error that names it');
is(run($rows) . run('SELECT count(*) FROM done'), '1 4bf90',
	'a job that fails by it changes nothing');
run('ALTER SERVER shard OPTIONS (DROP extensions)');
is(run("SELECT cardinality(links) FROM ($links) l(links)"), 1,
	'without the option "extensions" its links are read');
run(q{ALTER SERVER shard OPTIONS (ADD extensions 'otel_links')});

# ---- without the files ----
$shard->safe_psql('postgres', 'DROP EXTENSION otel_links CASCADE; DROP TABLE jobs;
	CREATE EXTENSION otel_links; CREATE TABLE jobs (id int)');
$shard->safe_psql('postgres', q{SELECT otel.add_trace_context('jobs')});
run("INSERT INTO jobs (id) VALUES (1) $comment");
$tree->remove_library('otel_links');
my $missing = qr/could not access file "(\$libdir\/)?otel_links": No such file/;
like(run("INSERT INTO jobs (id) VALUES (2) $comment"), $missing,
	'an INSERT into a shard that lost the library is an error that names the library');
like(run($job), $missing, 'a job that reads links of a shard without the library is such an error');
is(run('SELECT string_agg(id::text, $$ $$) FROM jobs') . run('SELECT count(*) FROM done'), '10',
	'other columns can be read, and nothing was changed');
$tree->restore_library('otel_links');
is(run($rows), '1 4bf9', 'when the library is back, all contexts are there');

unlink $tree->extension_file('otel_links.control');
my (undef, undef, $error) = $shard->psql('template1', 'CREATE EXTENSION otel_links');
like($error, qr/extension "otel_links" is not available|extension control file/,
	'CREATE EXTENSION says that a shard lacks the extension\'s files');

$_->stop for $node, $shard;
done_testing();
