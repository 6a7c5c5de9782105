# Spans and logical replication: what a subscriber's triggers record is queued with the remote
# transaction that it applies, and neither a failure nor the end of a replication worker, with spans
# left to queue, loses a row that the publisher has.  The same for logical decoding.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use lib 'test/t';
use Session;

my $publisher = PostgreSQL::Test::Cluster->new('publisher');
$publisher->init(allows_streaming => 'logical');
$publisher->append_conf('postgresql.conf', "otel.traces_exporter = none\n");
$publisher->start;
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init;
$subscriber->append_conf('postgresql.conf',
	"otel.traces_exporter = none\nwal_retrieve_retry_interval = 100ms\n");
$subscriber->start;

$_->safe_psql('postgres', q{
	CREATE EXTENSION otel_links;
	CREATE TABLE work (id int PRIMARY KEY, how text)}) for $publisher, $subscriber;
$publisher->safe_psql('postgres',
	q{INSERT INTO work VALUES (0, 'copied'); CREATE PUBLICATION work FOR TABLE work});

# One trigger records; a deferred one, within the COMMIT, waits or fails as long as "pass" is empty.
$subscriber->safe_psql('postgres', q{
	CREATE TABLE pass (id int);
	CREATE FUNCTION record() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM otel.record_span('row ' || NEW.id, now());
		RETURN NULL;
	END $$;
	CREATE FUNCTION hinder() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF EXISTS (SELECT FROM public.pass WHERE id = NEW.id) THEN
			NULL;
		ELSIF NEW.how = 'waits' THEN
			PERFORM pg_sleep(600);
		ELSIF NEW.how = 'fails' THEN
			RAISE EXCEPTION 'row % fails at COMMIT', NEW.id;
		END IF;
		RETURN NULL;
	END $$;
	CREATE TRIGGER record AFTER INSERT ON work FOR EACH ROW EXECUTE FUNCTION record();
	ALTER TABLE work ENABLE ALWAYS TRIGGER record;
	CREATE CONSTRAINT TRIGGER hinder AFTER INSERT ON work DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
		EXECUTE FUNCTION hinder();
	ALTER TABLE work ENABLE ALWAYS TRIGGER hinder});
$subscriber->safe_psql('postgres',
	"CREATE SUBSCRIPTION work CONNECTION '${\$publisher->connstr} dbname=postgres'
	PUBLICATION work");
ok($subscriber->poll_query_until('postgres',
	q{SELECT bool_and(srsubstate IN ('r', 's')) FROM pg_subscription_rel}),
		'a table whose trigger records spans is synchronized');

sub rows { return $_[0]->safe_psql('postgres',
	q{SELECT string_agg(id || ' ' || how, ', ' ORDER BY id) FROM work}) }

sub queue
{
	my $names = $subscriber->safe_psql('postgres',
		q{SELECT string_agg(name || ' ' || status_code, ', ' ORDER BY ctid) FROM otel.span_queue});
	$subscriber->safe_psql('postgres', 'TRUNCATE otel.span_queue');
	return $names;
}

sub wait_for_worker
{
	my ($condition) = @_;
	my $workers = q{SELECT pid FROM pg_stat_activity WHERE datname = 'postgres'
		AND backend_type ~ '^logical replication' AND };
	$subscriber->poll_query_until('postgres', "SELECT EXISTS ($workers $condition)");
	return $subscriber->safe_psql('postgres', "$workers $condition LIMIT 1");
}

$publisher->safe_psql('postgres', q{INSERT INTO work VALUES (1, 'plain')});
$publisher->wait_for_catchup('work');
is(queue(), 'row 0 0, row 1 0',
	'spans of table synchronization and of apply are queued with the rows they are about');

# ---- the worker is terminated while it commits, then the server is stopped while it does ----
my $log = -s $subscriber->logfile;
$publisher->safe_psql('postgres', q{INSERT INTO work VALUES (2, 'waits')});
my $pid = wait_for_worker(q{wait_event = 'PgSleep'});
$subscriber->safe_psql('postgres', q{INSERT INTO pass VALUES (2)});
$subscriber->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
$publisher->safe_psql('postgres', q{INSERT INTO work VALUES (3, 'plain')});
$publisher->wait_for_catchup('work');
is(rows($subscriber), rows($publisher),
	'a subscriber whose worker is terminated within a COMMIT misses no row');
is(queue(), 'row 2 0, row 3 0', 'the terminated worker queues nothing, the next one its own spans');
like(slurp_file($subscriber->logfile, $log),
	qr/1 span is lost:[^\n]*\n[^\n]*DETAIL:  This kind of process runs no transaction/,
	'the log says what is lost with a terminated worker');

$publisher->safe_psql('postgres', q{INSERT INTO work VALUES (4, 'waits')});
wait_for_worker(q{wait_event = 'PgSleep'});
$subscriber->safe_psql('postgres', q{INSERT INTO pass VALUES (4)});
$subscriber->restart;
$publisher->safe_psql('postgres', q{INSERT INTO work VALUES (5, 'plain')});
$publisher->wait_for_catchup('work');
is(rows($subscriber), rows($publisher),
	'a subscriber that is stopped within a COMMIT misses no row');
queue();

# ---- a COMMIT that fails ----
$publisher->safe_psql('postgres',
	q{INSERT INTO work VALUES (6, 'fails'); INSERT INTO work VALUES (7, 'plain')});
for (1 .. 1800)
{
	last if slurp_file($subscriber->logfile) =~ /row 6 fails at COMMIT/;
	$subscriber->safe_psql('postgres', 'SELECT pg_sleep(0.1)');
}
$subscriber->safe_psql('postgres', q{INSERT INTO pass VALUES (6)});
$publisher->wait_for_catchup('work');
is(rows($subscriber), rows($publisher), 'a subscriber whose COMMIT fails misses no row');
is(queue(), 'row 6 0, row 7 0', 'the spans queued are those of the transactions that commit');

# ---- load, with terminations ----
my $load = Session->new($publisher, 'postgres');
$load->tell(q{DO $$ BEGIN FOR i IN 1001 .. 9000 LOOP INSERT INTO work VALUES (i, 'plain'); COMMIT;
	END LOOP; END $$});
for (1 .. 6)
{
	# until the worker has caught up, on a fast machine
	$subscriber->poll_query_until('postgres', q{
		SELECT coalesce(bool_or(pg_terminate_backend(pid)), false) OR
		       (SELECT count(*) FROM work) >= 8000 FROM pg_stat_activity
		 WHERE datname = 'postgres' AND backend_type ~ '^logical replication'
		   AND wait_event IS DISTINCT FROM 'LogicalApplyMain'});
}
$load->answer;
is($load->told, '', 'the publisher commits 8,000 transactions');
$load->quit;
$publisher->wait_for_catchup('work');
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM work'),
	$publisher->safe_psql('postgres', 'SELECT count(*) FROM work'),
	'a subscriber whose workers are terminated under load misses no row');
is($subscriber->safe_psql('postgres',
	q{SELECT count(*), count(DISTINCT name) FROM otel.span_queue WHERE status_code = 0}),
		'8000|8000',
	'each applied row has its span');

# ---- a session that ends during logical decoding ----
$publisher->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('slot', 'pgoutput')});
$publisher->safe_psql('postgres',
	q{INSERT INTO work SELECT i, 'many' FROM generate_series(10001, 300000) i});
my $session = Session->new($publisher, 'postgres');
$session->ask(q{BEGIN; SELECT otel.start_span('decoding') IS NOT NULL});
$session->ask('SELECT 1 / 0; ROLLBACK');
$log = -s $publisher->logfile;
$session->tell(q{BEGIN READ ONLY;
	SELECT count(*)
	FROM pg_logical_slot_peek_binary_changes('slot', NULL, NULL, 'proto_version', '1',
	'publication_names', 'work')});
$publisher->poll_query_until('postgres',
	q{SELECT active_pid IS NOT NULL FROM pg_replication_slots WHERE slot_name = 'slot'});
is($publisher->safe_psql('postgres', "SELECT pg_terminate_backend(${\$session->pid}, 60000)"), 't',
	'a session that is terminated during logical decoding ends');
my ($queued) = $publisher->safe_psql('postgres',
	q{SELECT count(*) FROM otel.span_queue WHERE name = 'decoding'});
my $lost = () = slurp_file($publisher->logfile,
	$log) =~ /1 span is lost:[^\n]*\n[^\n]*DETAIL:  The session ended during logical decoding/g;
is($queued + $lost, 1,
	'the span of a session that ended is queued, or named as lost in the log');
eval { $session->quit };

$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION work');
$_->stop for $subscriber, $publisher;
done_testing();
