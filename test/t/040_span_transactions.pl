# Spans in every kind of transaction: a span becomes a row of the queue with the commit of its work,
# what rolls back has status Error, and no commit fails or waits for the sake of a span.
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
$node->safe_psql('postgres', q{
	CREATE EXTENSION otel_links;
	CREATE TABLE t (id int PRIMARY KEY, value int);
	INSERT INTO t SELECT i, 0 FROM generate_series(1, 10) i;
});

# name, status code and message of what is in the queue; empties it
sub queued
{
	my $rows = $node->safe_psql('postgres', q{
		SELECT string_agg(concat_ws(' ', name, status_code, status_message), ', ' ORDER BY ctid)
			FROM otel.span_queue});
	$node->safe_psql('postgres', 'TRUNCATE otel.span_queue');
	return $rows;
}

my $a = Session->new($node, 'postgres');
my $b = Session->new($node, 'postgres');

# ---- serializable ----
$_->ask('BEGIN ISOLATION LEVEL SERIALIZABLE') for $a, $b;
$_->ask(q{SELECT otel.start_span('apart') IS NOT NULL}) for $a, $b;
$a->ask('UPDATE t SET value = 1 WHERE id = 1');
$b->ask('UPDATE t SET value = 1 WHERE id = 2');
$_->ask('SELECT otel.end_span()') for $a, $b;
$_->ask('COMMIT') for $a, $b;
is($a->told . $b->told, '', 'serializable transactions do not conflict over their spans');
is(queued(), 'apart 0, apart 0', 'the spans of two serializable transactions are queued');

for my $attempt (1 .. 4)
{
	$_->ask('BEGIN ISOLATION LEVEL SERIALIZABLE') for $a, $b;
	$_->ask('SELECT sum(value) FROM t') for $a, $b;
	$a->ask(qq{SELECT otel.record_span('first $attempt', now()) IS NOT NULL;
		UPDATE t SET value = 2 WHERE id = 1});
	$b->ask(qq{SELECT otel.record_span('second $attempt', now()) IS NOT NULL;
		UPDATE t SET value = 2 WHERE id = 2});
	$_->ask('COMMIT') for $a, $b;
	like($b->told, qr/\AERROR:  could not serialize access[^\n]*\n(DETAIL|HINT)/,
		"a serialization failure is PostgreSQL's own error without a warning of ours, "
		  . "attempt $attempt");
	is($node->safe_psql('postgres', q{SELECT name FROM otel.span_queue ORDER BY ctid DESC LIMIT 1}),
		"first $attempt",
		"the span of the serializable transaction that commits is queued, attempt $attempt");
}
queued();
$b->ask('BEGIN; COMMIT');
is(queued(), join(', ', map { "second $_ 2 transaction rolled back" } 1 .. 4),
	'serialization failures, however many, drop no span: all come with the next transaction');

# ---- procedures ----
$a->ask(q{
	CREATE PROCEDURE steps() LANGUAGE plpgsql AS $$
	DECLARE job otel.trace_context := otel.start_span('job');
	BEGIN
		PERFORM otel.record_span('step 1', now());
		COMMIT;
		ASSERT (SELECT array_agg(name) = '{step 1}' FROM otel.span_queue),
			'a commit queues what is over';
		ASSERT otel.current_trace_context()::text = job::text, 'the span is current after a commit';
		PERFORM otel.record_span('step 2', now());
		ROLLBACK;
		ASSERT otel.current_trace_context()::text = job::text, 'and after a rollback';
		PERFORM otel.start_span('step 3');
		COMMIT;
		PERFORM otel.end_span('ok');
		BEGIN
			PERFORM otel.start_span('step 4');
			PERFORM 1 / 0;
		EXCEPTION WHEN division_by_zero THEN
			PERFORM otel.end_span('error', SQLERRM);
		END;
		PERFORM otel.end_span();
	END $$});
$a->ask('CALL steps()');
is($a->told, '', 'a procedure that commits and rolls back keeps its span without a warning');
is(queued(),
	'step 1 0, step 2 2 transaction rolled back, step 3 1, step 4 2 division by zero, job 0',
	'each commit queues what is over; what rolls back takes along only what began or ended in it');
is($a->ask('SELECT otel.current_trace_context() IS NULL'), 't',
	'a procedure that ends its spans leaves nothing on the stack');

$a->ask(q{DO $$ BEGIN PERFORM otel.start_span('left open'); COMMIT; PERFORM 1; COMMIT; END $$});
like($a->told, qr/WARNING:  span "left open" was open when its transaction ended/,
	'a statement that commits ends its spans when it ends');
is(queued(), 'left open 0', 'a span of a statement that commits is queued when the statement ends');
$a->ask(q{DO $$ BEGIN PERFORM otel.start_span('fails later'); COMMIT; PERFORM 1 / 0; END $$});
$a->ask('BEGIN; COMMIT');
is(queued(), 'fails later 2 transaction rolled back',
	'the span of a statement that fails after it committed has status Error');
is($a->ask('SELECT otel.current_trace_context() IS NULL'), 't',
	'a statement that fails after it committed leaves nothing on the stack');

# ---- nested exception blocks ----
$a->ask(q{DO $$
BEGIN
	PERFORM otel.start_span('level 1');
	BEGIN
		PERFORM otel.start_span('level 2');
		BEGIN
			PERFORM otel.start_span('level 3');
			PERFORM otel.record_span('deepest', now());
			RAISE EXCEPTION 'deep';
		EXCEPTION WHEN division_by_zero THEN NULL;
		END;
	EXCEPTION WHEN OTHERS THEN
		PERFORM otel.end_span('error', SQLERRM || ' 3');
		PERFORM otel.end_span('error', SQLERRM || ' 2');
	END;
	PERFORM otel.end_span('ok');
END $$});
is(queued(), 'deepest 2 transaction rolled back, level 3 2 deep 3, level 2 2 deep 2, level 1 1',
	'an exception through several blocks marks the spans that each block undid');

# ---- cursors WITH HOLD: their rows are fetched when their transaction commits ----
$a->ask(q{BEGIN; DECLARE held NO SCROLL CURSOR WITH HOLD FOR SELECT otel.record_span('row ' || i,
	now()) FROM generate_series(1, 3) i; FETCH held});
$a->ask('COMMIT');
is(queued(), 'row 1 0, row 2 0, row 3 0',
	'spans of a cursor WITH HOLD are queued with its transaction');
is($a->ask('FETCH ALL FROM held; CLOSE held') =~ tr/\n//, 1,
	'a cursor WITH HOLD has its rows after the commit');
is(queued(), '', 'fetching from a cursor WITH HOLD records nothing again');

# ---- two-phase commit ----
$a->ask(q{BEGIN; SELECT otel.record_span('prepared', now()) IS NOT NULL;
	SELECT otel.start_span('open') IS NOT NULL});
$a->ask(q{PREPARE TRANSACTION 'one'});
like($a->told, qr/span "open" was open when its transaction ended/,
	'PREPARE TRANSACTION ends the scope of a span');
is($node->safe_psql('postgres', 'SELECT count(*) FROM otel.span_queue'), '0',
	'the spans of a prepared transaction are not in the queue yet');
is($a->ask('SELECT otel.current_trace_context() IS NULL'), 't',
	'PREPARE TRANSACTION leaves nothing on the stack');
$b->ask(q{COMMIT PREPARED 'one'});
is(queued(), 'prepared 0, open 0', 'COMMIT PREPARED in another session queues the spans');
$a->ask(q{BEGIN; SELECT otel.record_span('prepared', now()) IS NOT NULL;
	PREPARE TRANSACTION 'two'});
$a->ask(q{ROLLBACK PREPARED 'two'});
is(queued(), '', 'ROLLBACK PREPARED leaves no span in the queue');
$a->ask(q{BEGIN READ ONLY; SELECT otel.record_span('read before', now()) IS NOT NULL; COMMIT;
	BEGIN; SELECT otel.record_span('rolled back before', now()) IS NOT NULL; ROLLBACK;
	BEGIN; SELECT otel.record_span('prepared', now()) IS NOT NULL; PREPARE TRANSACTION 'three';
		ROLLBACK PREPARED 'three'; SELECT});
is(queued(), 'read before 0, rolled back before 2 transaction rolled back',
	'ROLLBACK PREPARED takes along no span of an earlier transaction');

# ---- deferred constraints and triggers ----
$a->ask(q{
	CREATE FUNCTION deferred() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM otel.record_span('deferred ' || NEW.id, now());
		IF NEW.id < 0 THEN RAISE EXCEPTION 'negative'; END IF;
		RETURN NULL;
	END $$;
	CREATE TABLE d (id int);
	CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON d DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION deferred()});
$a->ask(q{BEGIN; SELECT otel.record_span('before', now()) IS NOT NULL; INSERT INTO d VALUES (1);
	COMMIT});
is(queued(), 'before 0, deferred 1 0', 'spans of deferred triggers are queued by the same commit');
$a->ask(q{BEGIN; SELECT otel.record_span('before', now()) IS NOT NULL; INSERT INTO d VALUES (-1)});
$a->ask('COMMIT');
like($a->told, qr/negative/, 'the error of a deferred trigger reaches the client');
is(queued(), '', 'a deferred trigger that fails leaves nothing in the queue');
$a->ask('BEGIN; COMMIT');
is(queued(), 'before 2 transaction rolled back, deferred -1 2 transaction rolled back',
	'the spans of a deferred trigger that failed come with the next transaction');

# ---- parallel plans ----
$a->ask(q{SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0;
	SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
	CREATE TABLE p AS SELECT i, otel.from_ids(md5(i::text), lpad(to_hex(i), 16, '0'), 1) AS c
		FROM generate_series(1, 1000) i; ANALYZE p;
	ALTER TABLE p SET (parallel_workers = 2)});
my $plan = $a->ask(q{BEGIN; SELECT otel.start_span('parallel') IS NOT NULL;
	EXPLAIN (ANALYZE, COSTS off) SELECT otel.link_agg(c) FROM p});
like($plan, qr/Workers Launched: [1-9]/, 'a parallel plan runs within a span');
is($a->ask('SELECT count(*) FROM p WHERE otel.current_trace_context() IS NOT NULL'), '1000',
	'the span is current in the rows of a parallel plan');
is($a->ask('SELECT otel.add_links(otel.link_agg(c)) FROM p'), '',
	'links that parallel workers aggregate are added');
$a->ask('SELECT otel.end_span(); COMMIT');
is( $node->safe_psql(
		'postgres',
		'SELECT count(*), sum(cardinality(links::otel.span_link[])) FROM otel.span_queue'),
	'8|1000',
	'the span has the links that parallel workers aggregated');
is(queued(), join(', ', 'parallel 0', map { "parallel (links, part $_ of 8) 0" } 2 .. 8),
	'the span of a parallel plan is queued once, and each of its parts');
$a->ask('RESET max_parallel_workers_per_gather');

# ---- commands that use transactions of their own, with a span waiting and one open ----
my $number = 0;
for my $command ('VACUUM t', 'VACUUM (FULL) t', 'VACUUM', 'ANALYZE',
	'CREATE INDEX CONCURRENTLY i ON t (value)',
	'REINDEX TABLE CONCURRENTLY t', 'DROP INDEX CONCURRENTLY i', 'CLUSTER t USING t_pkey',
		'VACUUM otel.span_queue', 'VACUUM (FULL) otel.span_queue', 'REINDEX SYSTEM postgres')
{
	$number++;
	$a->ask(qq{BEGIN READ ONLY; SELECT otel.record_span('waits $number', now()) IS NOT NULL;
		SELECT otel.start_span('session $number', scope => 'session') IS NOT NULL; COMMIT});
	$a->ask($command);
	is($a->told, '', "$command runs with a span waiting and one open");
	$a->ask('SELECT otel.end_span()');
	is(queued(), "waits $number 0, session $number 0",
		"$command: both spans are queued in the end");
}

# ---- cancel, statement timeout ----
$a->ask(q{BEGIN; SELECT otel.start_span('cancelled') IS NOT NULL});
$a->tell('SELECT pg_sleep(600)');
$b->ask("DO \$\$ BEGIN
	WHILE NOT EXISTS (SELECT FROM pg_stat_activity
		WHERE pid = ${\$a->pid} AND wait_event = 'PgSleep') LOOP
		PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
	END LOOP;
END \$\$");
$b->ask("SELECT pg_cancel_backend(${\$a->pid})");
$a->answer;
like($a->told, qr/canceling statement due to user request/,
	'a statement with a span can be cancelled');
$a->ask('ROLLBACK');
$a->ask('BEGIN; COMMIT');
is(queued(), 'cancelled 2 transaction rolled back',
	'the span of a cancelled statement is queued by the next transaction');
$a->ask(q{SET statement_timeout = '20ms'; SELECT otel.start_span('too slow') IS NOT NULL,
	pg_sleep(600); RESET statement_timeout});
like($a->told, qr/canceling statement due to statement timeout/,
	'a statement with a span can time out');
is(queued(), 'too slow 2 transaction rolled back',
	'the span of a statement that timed out is queued by the next transaction');

# ---- DISCARD ALL, RESET ALL ----
for my $command ('DISCARD ALL', 'RESET ALL')
{
	$a->ask(q{SELECT otel.start_span('outer', scope => 'session') IS NOT NULL;
		SELECT otel.start_span('inner', scope => 'session') IS NOT NULL});
	$a->ask($command);
	my @warnings = $a->told =~ /WARNING:  (.*)/g;
	is("@warnings", 'span "outer" was open when its session ended or was reset',
		"$command warns once");
	is($a->ask('SELECT otel.current_trace_context() IS NULL'), 't', "$command clears the stack");
	is(queued(), 'outer 0, inner 0', "$command queues the spans");
}
$a->ask(q{BEGIN; SELECT otel.start_span('in a block') IS NOT NULL; RESET ALL});
is($a->ask('SELECT otel.current_trace_context() IS NULL'), 't',
	'RESET ALL clears the stack within a transaction');
$a->ask('ROLLBACK; BEGIN; COMMIT');
is(queued(), 'in a block 2 transaction rolled back',
	'a span that RESET ALL ends in a transaction fails with it');
$a->ask(q{SET otel.traceparent = '';
	SELECT otel.start_span('not reset', scope => 'session') IS NOT NULL;
	RESET work_mem; DISCARD PLANS; DISCARD TEMP});
is($a->ask('SELECT otel.current_trace_context() IS NOT NULL'), 't',
	'other resets leave a session\'s span open');
$a->ask('SELECT otel.end_span()');
queued();

# ---- a locked queue delays no commit ----
my ($toast, $toast_index) = split /\|/, $node->safe_psql('postgres', q{
	SELECT reltoastrelid::regclass, indexrelid::regclass
		FROM pg_class JOIN pg_index ON indrelid = reltoastrelid
		WHERE pg_class.oid = 'otel.span_queue'::regclass});
for my $lock ('LOCK TABLE otel.span_queue IN SHARE MODE',
	'LOCK TABLE otel.span_queue IN ACCESS EXCLUSIVE MODE',
	"REINDEX TABLE $toast", "REINDEX INDEX $toast_index")
{
	$b->ask("BEGIN; $lock");
	$a->ask(q{SET lock_timeout = '100ms'; INSERT INTO t VALUES (100, 0);
		SELECT otel.record_span('kept', now(), attributes =>
		(SELECT jsonb_object_agg(g, md5(g::text)) FROM generate_series(1, 120) g)) IS NOT NULL});
	is($a->told, '', "$lock delays no commit, also not of a span that is stored out of line");
	$b->ask('DELETE FROM t WHERE id = 100; COMMIT');
	is(queued(), '', "during $lock the span waits");
	$a->ask('SELECT 1');
	is(queued(), 'kept 0', "after $lock the next transaction queues it");
}
$a->ask('RESET lock_timeout');

# ---- more spans than a session keeps ----
$a->ask(q{BEGIN; SELECT count(otel.record_span('many', now())) FROM generate_series(1, 25000)});
is($node->safe_psql('postgres', 'SELECT count(*) FROM otel.span_queue'), '0',
	'rows that a transaction appends early are its own');
$a->ask('COMMIT');
is($node->safe_psql('postgres', 'SELECT count(*) FROM otel.span_queue'), '25000',
	'rows that a transaction appends early are there when it commits');
queued();
my $counted = $node->safe_psql('postgres', 'SELECT last_value FROM otel.dropped_spans');
$a->ask(q{BEGIN READ ONLY;
	SELECT count(otel.record_span('many', now())) FROM generate_series(1, 25000)});
like($a->told, qr/WARNING:  spans are dropped: 20001 wait in this session/,
	'a session that cannot queue its spans drops the oldest with a warning');
is(() = $a->told =~ /WARNING/g, 1, 'the warning about dropped spans comes once');
$a->ask('COMMIT; BEGIN; COMMIT');
is($node->safe_psql('postgres', 'SELECT count(*) FROM otel.span_queue'), '10000',
	'one commit queues 10,000 spans at most');
$a->ask('BEGIN; COMMIT');
is($node->safe_psql('postgres', 'SELECT count(*) FROM otel.span_queue'), '20000',
	'the next commit queues the others');
is($node->safe_psql('postgres', 'SELECT last_value FROM otel.dropped_spans'), $counted + 5000,
	'the spans that one session dropped are counted');
$counted += 5000;
queued();

# ---- rows that a transaction appended early are lost when it rolls back, and counted ----
sub is_all_accounted_for
{
	my ($recorded, $how) = @_;
	$a->ask('BEGIN; COMMIT') for 1 .. 2;
	my ($queued, $dropped) = split /\|/, $node->safe_psql('postgres',
		'SELECT (SELECT count(*) FROM otel.span_queue), last_value FROM otel.dropped_spans');
	cmp_ok($dropped, '>', $counted, "$how: some are dropped");
	is($queued + $dropped - $counted, $recorded, "$how: each span is queued or counted as dropped");
	$counted = $dropped;
	queued();
}
$a->ask(q{BEGIN; SELECT count(otel.record_span('many', now())) FROM generate_series(1, 30000);
	ROLLBACK});
is_all_accounted_for(30000, '30,000 spans of a transaction that rolls back');
$a->ask(q{DO $$
BEGIN
	PERFORM otel.record_span('outer', now()) FROM generate_series(1, 10500);
	BEGIN
		PERFORM otel.record_span('middle', now()) FROM generate_series(1, 10500);
		BEGIN
			PERFORM otel.record_span('inner', now()) FROM generate_series(1, 10500);
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
		PERFORM 1 / 0;
	EXCEPTION WHEN OTHERS THEN NULL;
	END;
END $$});
is_all_accounted_for(31500, 'spans of subtransactions that roll back');

# ---- a count that an administrator has bounded ----
for my $bounds ('MAXVALUE ' . ($counted + 3), 'MAXVALUE 9223372036854775807')
{
	my $maximum = $bounds =~ s/MAXVALUE //r;
	$b->ask("ALTER SEQUENCE otel.dropped_spans $bounds");
	$b->ask("SELECT setval('otel.dropped_spans', $maximum - 2)");
	$a->ask(q{BEGIN; SELECT count(otel.record_span('many', now())) FROM generate_series(1, 10100);
		ROLLBACK});
	queued();
	$a->ask(q{SELECT otel.record_span('after it', now()) IS NOT NULL});
	is($a->told, '', "a count of dropped spans near its $bounds warns nobody");
	like(queued(), qr/after it 0$/, "… and spans are queued on");
	is($b->ask('SELECT last_value FROM otel.dropped_spans'), $maximum,
		"the count of dropped spans stops at its $bounds");
}
$b->ask("SELECT setval('otel.dropped_spans', $counted)");

# ---- a full queue that nothing exports ----
$node->safe_psql('postgres', q{ALTER DATABASE postgres SET otel.queue_max_size = '256kB'});
$node->safe_psql('postgres', q{SELECT count(otel.record_span('filler', now(),
	attributes => jsonb_build_object('i', i))) FROM generate_series(1, 1000) i}) for 1 .. 5;
my ($kept, $dropped) = split /\|/, $node->safe_psql('postgres', qq{SELECT (SELECT count(*)
	FROM otel.span_queue), last_value - $counted FROM otel.dropped_spans});
cmp_ok($dropped, '>', 0, 'a full queue that nothing exports takes no more spans');
is($kept + $dropped, 5000, 'spans that a full queue does not take are counted');
cmp_ok($node->safe_psql('postgres', q{SELECT pg_table_size('otel.span_queue')}), '<', 1_000_000,
	'a full queue exceeds its bound by one transaction at most');
$node->safe_psql('postgres', 'DELETE FROM otel.span_queue');
$node->safe_psql('postgres', 'VACUUM (TRUNCATE off) otel.span_queue');
$node->safe_psql('postgres', q{SELECT otel.record_span('again', now())});
is(queued(), 'again 0', 'a queue with room again takes spans');
$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET otel.queue_max_size');

# ---- the extension goes away, and comes back, under a session that has its library ----
$a->ask(q{SELECT otel.start_span('of the extension', scope => 'session') IS NOT NULL});
$b->ask('DROP TABLE p; DROP EXTENSION otel_links');
$a->ask('INSERT INTO t VALUES (101, 0)');
is($a->told, '', 'a session goes on after DROP EXTENSION');
$b->ask('CREATE EXTENSION otel_links');
$a->ask('SELECT otel.end_span()');
is(queued(), 'of the extension 0', 'a session\'s span is queued when the extension is back');
$a->ask(q{BEGIN; SELECT otel.record_span('dropped with it', now()) IS NOT NULL;
	DROP EXTENSION otel_links; COMMIT});
is($a->told =~ s/NOTICE.*//sr, '',
	'a transaction that records a span and drops the extension commits');
$a->ask('CREATE EXTENSION otel_links');
is(queued(), '', 'DROP EXTENSION takes along the spans of its transaction');

$_->quit for $a, $b;
$node->stop;

# ---- nor does a queue grow without end for want of a worker ----
my $crowded = PostgreSQL::Test::Cluster->new('crowded');
$crowded->init;
$crowded->append_conf('postgresql.conf', "max_worker_processes = 0\notel.queue_max_size = 256kB\n");
$crowded->start;
$crowded->safe_psql('postgres', 'CREATE EXTENSION otel_links');
$crowded->safe_psql('postgres',
	q{SELECT count(otel.record_span('filler', now())) FROM generate_series(1, 1000) i}) for 1 .. 5;
($kept, $dropped) = split /\|/, $crowded->safe_psql('postgres',
	'SELECT (SELECT count(*) FROM otel.span_queue), last_value FROM otel.dropped_spans');
cmp_ok($dropped, '>', 0, 'a full queue takes no more spans where no worker can run');
is($kept + $dropped, 5000, 'spans dropped where no worker can run are counted');
like(slurp_file($crowded->logfile),
	qr/no background worker slot is free for the otel_links exporter/,
	'the log says why no worker runs');
# counting is not noticed by drivers that ask lastval() for the key of a row
$crowded->safe_psql('postgres', 'CREATE ROLE app LOGIN; CREATE TABLE item (id serial);
	GRANT INSERT ON item TO app; GRANT USAGE ON SEQUENCE item_id_seq TO app');
like($crowded->safe_psql('postgres', q{
	BEGIN;
	SELECT otel.record_span('dropped', now());
	INSERT INTO item DEFAULT VALUES;
	COMMIT;
	SELECT 'key ' || lastval()}, extra_params => ['-U', 'app']), qr/^key 1$/m,
	'lastval() is the user\'s where spans are dropped');
is($crowded->safe_psql('postgres', 'SELECT last_value FROM otel.dropped_spans'), $dropped + 1,
	'spans dropped where the user has a lastval() are counted');
my $locker = Session->new($crowded, 'postgres');
$locker->ask('BEGIN; ALTER SEQUENCE otel.exporter_start_failures CACHE 2');
is($crowded->safe_psql('postgres', q{SELECT otel.record_span('uncounted', now()) IS NOT NULL}), 't',
	'a COMMIT that finds no worker slot does not wait to count that');
$locker->quit;
$crowded->stop;
done_testing();
