# A COMMIT that queues spans and also commits on another server, by postgres_fdw: interrupts that
# arrive while the spans are queued do not leave the two sides different, whichever library was
# loaded first, and cost nobody the transaction.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use lib 'test/t';
use Session;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf',
	"otel.traces_exporter = none\nmax_prepared_transactions = 5\n");
$node->start;
if ($node->safe_psql('postgres',
	q{SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'}) eq '0')
{
	$node->stop;
	plan skip_all => 'postgres_fdw is not installed';
}
$node->safe_psql('postgres', 'CREATE DATABASE remote');
$node->safe_psql('remote', q{
	CREATE TABLE work (id int, patience interval);
	CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_sleep(extract(epoch FROM NEW.patience));
		RETURN NULL;
	END $$;
	CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON work DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW WHEN (NEW.patience > '0') EXECUTE FUNCTION wait()});
$node->safe_psql('postgres', qq{
	CREATE EXTENSION otel_links;
	CREATE EXTENSION postgres_fdw;
	CREATE TABLE work (id int);
	CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw
		OPTIONS (host '${\$node->host}', port '${\$node->port}', dbname 'remote');
	CREATE USER MAPPING FOR PUBLIC SERVER other;
	CREATE FOREIGN TABLE elsewhere (id int, patience interval) SERVER other
		OPTIONS (table_name 'work');
	CREATE FUNCTION record_many() RETURNS bigint LANGUAGE sql AS \$\$
		-- many links make a row take its time
		SELECT count(otel.record_span('many', now(), links => made.links))
		  FROM generate_series(1, 3000) i,
		       (SELECT otel.link_agg(otel.from_ids(md5(j::text), left(md5((-j)::text), 16), 1),
				jsonb_build_object('item', j)) AS links
		          FROM generate_series(1, 64) j) AS made
	\$\$;
	-- Interrupts a session as soon as it queues spans.
	CREATE FUNCTION interrupt(pid int, what text) RETURNS void LANGUAGE plpgsql AS \$\$
	DECLARE
		began timestamptz := clock_timestamp();
	BEGIN
		WHILE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'relation'
			AND relation = 'otel.span_queue'::regclass AND pg_locks.pid = interrupt.pid)
		LOOP
			ASSERT clock_timestamp() < began + interval '1 minute', 'the moment was missed';
		END LOOP;
		IF what = 'pg_cancel_backend' THEN
			PERFORM pg_cancel_backend(pid);
		ELSE
			PERFORM pg_terminate_backend(pid);
		END IF;
	END \$\$});

# Callbacks run in the reverse order of their registration, postgres_fdw's at its first connection:
# what is loaded first acts last.
my %load = (
	otel_links   => 'SELECT otel.current_trace_context() IS NULL',
	postgres_fdw => 'SELECT count(*) FROM elsewhere');
my $interrupter = Session->new($node, 'postgres');
my $id = 0;

sub work_with_spans
{
	my ($session, $patience) = @_;
	$id++;
	$session->ask(qq{BEGIN; INSERT INTO elsewhere VALUES ($id, '$patience');
		INSERT INTO work VALUES ($id); SELECT record_many() IS NULL});
	die $session->told if $session->told ne '';
}

sub sides
{
	return join ' ',
		map { $node->safe_psql($_, "SELECT count(*) FROM work WHERE id = $id") } 'postgres',
			'remote';
}

sub wait_until_gone
{
	my ($session) = @_;
	return $node->poll_query_until('postgres',
		"SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = ${\$session->pid})");
}

for my $order ([ 'otel_links', 'postgres_fdw' ], [ 'postgres_fdw', 'otel_links' ])
{
	my $name = join ' loaded before ', @$order;

	for my $what ('pg_cancel_backend', 'pg_terminate_backend')
	{
		my $session = Session->new($node, 'postgres');
		$session->ask($load{$_}) for @$order;
		work_with_spans($session, '0');
		$session->tell('COMMIT');
		$interrupter->ask("SELECT interrupt(${\$session->pid}, '$what')");
		if ($what eq 'pg_cancel_backend')
		{
			$session->answer;
			is($session->told, '',
				"$name: a COMMIT that is cancelled while it queues spans succeeds");
			is($session->ask('SELECT 1'), '1',
				"$name: the cancel does not reach the next statement");
			$session->quit;
		}
		else
		{
			ok(wait_until_gone($session),
				"$name: a session that is terminated while a COMMIT queues spans ends");
			eval { $session->quit };
		}
		is(sides(), '1 1',
			"$name: $what while spans are queued leaves the work committed on both sides");
		is($node->safe_psql('postgres', 'SELECT count(*) FROM otel.span_queue'), '3000',
			"$name: $what loses no span");
		$node->safe_psql('postgres', 'TRUNCATE otel.span_queue');
	}
}

# ---- timeouts ----
my $session = Session->new($node, 'postgres');
$session->ask($load{$_}) for 'postgres_fdw', 'otel_links';
work_with_spans($session, '0');
$session->ask(q{SET statement_timeout = '20ms'; SET lock_timeout = '10ms'});
$session->ask('COMMIT');
is($session->told, '', 'statement_timeout does not end a COMMIT that queues spans for longer');
is(sides(), '1 1', 'statement_timeout leaves the work committed on both sides');

# ---- two-phase commit ----
$session->ask('SET statement_timeout = 0; TRUNCATE otel.span_queue');
$session->ask('BEGIN; INSERT INTO work VALUES (-1); SELECT record_many() IS NULL');
$session->tell(q{PREPARE TRANSACTION 'prepared'});
$interrupter->ask("SELECT interrupt(${\$session->pid}, 'pg_cancel_backend')");
$session->answer;
is($session->told, '', 'a PREPARE TRANSACTION that is cancelled while it queues spans succeeds');
$session->ask(q{COMMIT PREPARED 'prepared'});
is($node->safe_psql('postgres',
	'SELECT (SELECT count(*) FROM work WHERE id = -1), count(*) FROM otel.span_queue'), '1|3000',
	'COMMIT PREPARED commits the work and its spans');

# ---- an interrupt is not put off for ever ----
work_with_spans($session, '10 minutes');
$session->tell('COMMIT');
$interrupter->ask("SELECT interrupt(${\$session->pid}, 'pg_terminate_backend')");
ok(wait_until_gone($session),
	'a terminated session ends though its COMMIT waits for another server');
eval { $session->quit };

$interrupter->quit;
$node->stop('immediate');
done_testing();
