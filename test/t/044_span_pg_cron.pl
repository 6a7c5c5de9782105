# pg_cron runs the scheduled job, by a connection and in a background worker: its span is exported,
# linked to the pending rows; one that commits works.  One that fails is exported with its
# exception, except in a background worker, which ends with its job and runs no transaction of ours:
# the log says so.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use lib 'test/t';
use OtelExport;

my $receiver = OtelExport->receiver;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
OtelExport::configure($node, $receiver, 'max_worker_processes = 20');
$node->start;
if ($node->safe_psql('postgres',
	q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_cron'}) eq '0')
{
	$node->stop;
	plan skip_all => 'pg_cron is not installed (Debian: postgresql-' . int($node->pg_version)
		. '-cron)';
}
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'pg_cron'\ncron.host = '${\$node->host}'\n");
$node->restart;

$node->safe_psql('postgres', q{
	CREATE EXTENSION pg_cron;
	CREATE EXTENSION otel_links;
	CREATE TABLE report_request (
		id             int PRIMARY KEY,
		state          text NOT NULL DEFAULT 'pending',
		made_in        otel.trace_context,
		trace_context  otel.trace_context DEFAULT otel.current_trace_context()
	);
	CREATE FUNCTION pending() RETURNS otel.span_link[] LANGUAGE sql AS $$
		SELECT otel.link_agg(trace_context, jsonb_build_object('report.id', id) ORDER BY id)
			FROM report_request WHERE state = 'pending'
	$$;
	CREATE PROCEDURE make_reports() LANGUAGE plpgsql AS $$
	DECLARE request int;
	BEGIN
		FOR request IN SELECT id FROM report_request WHERE state = 'pending' LOOP
			UPDATE report_request SET state = 'done', made_in = otel.current_trace_context()
				WHERE id = request;
			COMMIT;
		END LOOP;
	END $$;
	CREATE FUNCTION fail() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE
		EXCEPTION 'no paper' USING ERRCODE = 'disk_full'; END $$;
});
my $tp = '00-4bf92f3577b34da6a3ce929d0e0e473%d-00f067aa0ba902b7-01';
sub request
{
	my ($id) = @_;
	$node->safe_psql('postgres',
		sprintf(q{INSERT INTO report_request (id) VALUES (%d) /*traceparent='} . $tp . q{'*/}, $id,
			$id));
}

# @reboot: once, when pg_cron starts
$node->safe_psql('postgres', q{
	SELECT cron.schedule('reports', '@reboot',
		$$CALL otel.trace_job('make reports', 'CALL make_reports()', links => pending(),
		kind => 'consumer')$$);
	SELECT cron.schedule('failing', '@reboot', $$CALL otel.trace_job('fail', 'SELECT fail()')$$);
});

my $runs = 0;
for my $how ('a connection', 'a background worker')
{
	my $worker = $how eq 'a background worker';
	my $exported = $worker ? 3 : 2;
	$runs++;
	request($_) for 2 * $runs, 2 * $runs + 1;
	$node->append_conf('postgresql.conf',
		'cron.use_background_workers = ' . ($worker ? 'on' : 'off') . "\n");
	$node->restart;
	ok($node->poll_query_until('postgres',
		"SELECT count(*) FILTER (WHERE status IN ('succeeded', 'failed')) = 2 * $runs
		FROM cron.job_run_details"), "pg_cron runs its jobs by $how");
	is($node->safe_psql('postgres',
		q{SELECT string_agg(DISTINCT jobname || ' ' || status, ', ') FROM cron.job_run_details
		JOIN cron.job USING (jobid)}),
		'failing failed, reports succeeded', "by $how, one job succeeds and one fails");
	ok(OtelExport::wait_until(sub {
				(grep { $_->{name} =~ /make reports|fail/ } $receiver->spans) == $exported
			}), "the spans of jobs run by $how are exported");

	my ($reports) = grep { $_->{name} eq 'make reports' } reverse $receiver->spans;
	is(join(' ', map { $_->{trace_id} } @{ $reports->{links} }),
		join(' ', map { substr(sprintf($tp, $_), 3, 32) } 2 * $runs, 2 * $runs + 1),
		"a job run by $how is linked to the traces of the rows that were pending");
	is($node->safe_psql('postgres',
		"SELECT string_agg(DISTINCT otel.span_id(made_in), ' ') FROM report_request
		WHERE id >= 2 * $runs AND state = 'done'"),
		$reports->{span_id},
			"the span of a job run by $how is current through all its transactions");
}
my ($failed) = grep { $_->{name} eq 'fail' } $receiver->spans;
is($failed->{status}->{message}, 'no paper',
	'the span of a job that fails in a connection says why');
is($failed->{events}->[0]->{attributes}->{'exception.type'}, 'disk_full',
	'the span of a job that fails in a connection has its exception');
ok(OtelExport::wait_until(sub {
			slurp_file($node->logfile) =~
				/1 span is lost:[^\n]*\n[^\n]*DETAIL:  This kind of process/
		}),
	'the log says that the span of a job that fails in a background worker is lost');

$node->stop;
$receiver->stop;
done_testing();
