# Spans in processes that are no client's backend, beside apply and table synchronization
# (047_span_replication.pl) and pg_cron's workers (044_span_pg_cron.pl): what docs/spans.md says of
# autovacuum, of a walsender that runs SQL and of parallel query.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', q{
otel.traces_exporter = none
autovacuum_naptime = 1s});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION otel_links');

# The name and status of what is queued.
sub queued
{
	my ($server) = @_;
	return $server->safe_psql('postgres', q{
		SELECT string_agg(name || ' ' || status_code, ', ' ORDER BY name) FROM otel.span_queue});
}

# ---- autovacuum: ANALYZE runs the functions of indexes ----
$node->safe_psql('postgres', q{
	CREATE FUNCTION traced(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
		BEGIN
			IF (SELECT backend_type = 'autovacuum worker' FROM pg_catalog.pg_stat_activity
					WHERE pid = pg_backend_pid()) THEN
				PERFORM otel.record_span('row ' || i, now());
			END IF;
			RETURN i;
		END $$;
	CREATE TABLE analyzed (i int) WITH (autovacuum_analyze_threshold = 0,
		autovacuum_analyze_scale_factor = 0);
	CREATE INDEX ON analyzed (public.traced(i));
	INSERT INTO analyzed VALUES (1), (2)});
ok($node->poll_query_until('postgres',
	q{SELECT count(*) > 0 FROM pg_stat_user_tables WHERE relname = 'analyzed'
		AND last_autoanalyze IS NOT NULL}), 'a table whose index records spans is analyzed');
is(queued($node), 'row 1 0, row 2 0', 'spans that an autovacuum records are queued');
$node->safe_psql('postgres', 'DROP TABLE analyzed; DELETE FROM otel.span_queue');

# ---- a walsender that runs SQL ----
my $log = -s $node->logfile;
my ($status, undef, $error) = $node->psql('postgres', q{
		SELECT otel.record_span('committed', now());
		SELECT otel.start_span('left open', scope => 'session');},
	replication => 'database');
is("$status $error", '0 ', 'a walsender records spans');
ok($node->poll_query_until('postgres',
	q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'walsender')}),
	'a walsender with an open span ends');
is(queued($node), 'committed 0', 'the span that its transaction committed is queued');
like(slurp_file($node->logfile, $log),
	qr/LOG:  1 span is lost:[^\n]*\n[^\n]*DETAIL:  This kind of process runs no transaction/,
	'the one that was open is lost, in the log');
$node->safe_psql('postgres', 'DELETE FROM otel.span_queue');

# ---- a parallel worker, by a function that is not what it says ----
my $forced = $node->pg_version >= 16 ? 'debug_parallel_query' : 'force_parallel_mode';
my $workers = $node->safe_psql('postgres', qq{
	CREATE FUNCTION not_safe() RETURNS bool PARALLEL SAFE LANGUAGE plpgsql AS \$\$
		BEGIN
			PERFORM otel.record_span('parallel', now());
			RETURN pg_catalog.pg_backend_pid() <> current_setting('my.pid')::int;
		END \$\$;
	SELECT set_config('my.pid', pg_backend_pid()::text, false) <> '';
	SET $forced = on;
	SELECT not_safe() FROM pg_class LIMIT 1});
is($workers, "t\nt", 'a function that records a span runs in a parallel worker');
is(queued($node), '', 'a parallel worker queues no span');

$node->stop;

done_testing();
