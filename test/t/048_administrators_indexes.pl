# Indexes that an administrator makes on the queue and the tables beside it give right answers,
# whatever moves the rows, and break nobody's commit.
use strict;
use warnings;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

my $receiver = OtelExport->receiver;
my $node = OtelExport::node('main', $receiver, q{otel.retention = '1h'},
	q{otel.traces_exporter = 'none'});
if ($node->psql('postgres', 'CREATE EXTENSION amcheck') != 0)
{
	plan(skip_all => 'amcheck is not installed');
}

my @tables = qw(span_queue failed_spans exported_spans);
my $session = Session->new($node, 'postgres');
$session->ask(q{SELECT otel.record_span('older', now())});
$node->safe_psql('postgres', qq{
	CREATE INDEX ON otel.$_ (name);
	CREATE INDEX ON otel.$_ USING hash (context);
	CREATE INDEX ON otel.$_ USING brin (start_time);
	CREATE INDEX ON otel.$_ (lower(name));
	CREATE INDEX ON otel.$_ (name) INCLUDE (kind) WHERE kind = 5}) foreach @tables;

# Every row is found by each kind of index, and each entry of the btrees has its row.
sub right
{
	my ($table, $count, $test) = @_;
	my $found = $node->safe_psql('postgres', qq{
		SET enable_seqscan = off;
		SELECT count(*) FROM otel.$table WHERE name >= '';
		SELECT count(*) FROM otel.$table WHERE lower(name) >= '';
		SELECT count(*) FROM otel.$table WHERE start_time > '2000-01-01';
		SELECT count(*) FROM otel.$table WHERE name >= '' AND kind = 5;
		SET enable_seqscan = on;
		SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off;
		SELECT count(*) FROM otel.$table WHERE kind = 5});
	my $consumers = (split /\n/, $found)[-1];
	is($found, join("\n", $count, $count, $count, $consumers, $consumers), "$table: $test");
	my $by_hash = $node->safe_psql('postgres', qq{
		SET enable_seqscan = off; SET enable_material = off;
		SELECT count(*) FROM (SELECT context AS wanted FROM otel.$table OFFSET 0) s,
			LATERAL (SELECT 1 FROM otel.$table WHERE context = wanted OFFSET 0) t});
	is($by_hash, $count, "$table: $test, by a hash index as well");
	$node->safe_psql('postgres', qq{
		SELECT bt_index_check(indexrelid, true)
		FROM pg_index JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = relam
		WHERE indrelid = 'otel.$table'::regclass AND amname = 'btree' AND indisvalid});
}

$session->ask(q{
	SELECT otel.record_span('queued-' || i, now(), kind => (ARRAY['consumer', 'client'])[1 + i % 2])
	FROM generate_series(1, 1000) i});
is($session->told, '', 'a session that had the table open before the indexes queues on');
right('span_queue', 1001, 'the indexes have all that is queued');

# While an index is being built: the table is read, but not yet by the new index
my $reader = Session->new($node, 'postgres');
$reader->ask('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM otel.span_queue');
my $builder = Session->new($node, 'postgres');
$builder->tell('CREATE INDEX CONCURRENTLY later ON otel.span_queue (name)');
OtelExport::wait_sql($node,
	q{SELECT count(*) = 1 FROM pg_index
		WHERE indexrelid = to_regclass('otel.later') AND indisready AND NOT indisvalid});
$session->ask("SELECT otel.record_span('meanwhile-' || i, now()) FROM generate_series(1, 100) i");
is($session->told, '', 'spans are queued while an index is built');
$reader->ask('COMMIT');
$builder->answer;
right('span_queue', 1101, 'an index that was built meanwhile has them');
$node->safe_psql('postgres', 'DROP INDEX CONCURRENTLY otel.later');

# A lock on an index alone: the commit does not wait, the spans do
$builder->ask(q{BEGIN; ALTER INDEX otel.span_queue_name_idx SET TABLESPACE pg_default});
is($builder->ask(q{SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock'
		AND relation = 'otel.span_queue_name_idx'::regclass}), 1, 'somebody locks an index alone');
$session->ask(q{SET statement_timeout = '60s'; SELECT otel.record_span('behind a lock', now())});
is($session->told, '', 'a lock on an index delays no commit');
$builder->ask('ROLLBACK');
$session->ask(q{SELECT otel.record_span('after the lock', now())});
is($node->safe_psql('postgres', q{SELECT string_agg(name,
	' ' ORDER BY name) FROM otel.span_queue WHERE name ~ 'lock'}), 'after the lock behind a lock',
	'a span that met a lock is queued with the next one');

# An entry that cannot be made
$session->ask(q{SELECT otel.record_span(string_agg(md5(i::text),
	''), now()) FROM generate_series(1, 300) i});
like($session->told, qr/WARNING:  spans could not be queued: index row /,
	'a name too long for an index: COMMIT says so');
$session->ask('SELECT 1');
$session->ask(q{SELECT otel.record_span('after the long one', now())});
$session->ask(q{SELECT otel.record_span('after the long one', now())});
is($node->safe_psql('postgres',
	q{SELECT count(*) FROM otel.span_queue WHERE name = 'after the long one'}), '2',
	'a name too long for an index keeps no other span from the queue');
right('span_queue', 1105, 'the indexes are whole');

# What an index runs, it runs as the table's owner, and by no search_path of others
$node->safe_psql('postgres', q{
	CREATE ROLE table_owner;
	CREATE ROLE recorder LOGIN;
	CREATE FUNCTION says(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
		RAISE LOG 'index of %: % %', $1, current_user, current_setting('search_path'); RETURN $1;
			END $$;
	ALTER TABLE otel.span_queue OWNER TO table_owner;
	ALTER TABLE otel.exported_spans OWNER TO table_owner;
	CREATE INDEX says ON otel.span_queue (public.says(name));
	CREATE INDEX says_too ON otel.exported_spans (public.says(name))});
my $offset = -s $node->logfile;
my $recorder = Session->new($node, 'postgres', '-U', 'recorder');
$recorder->ask(q{SET search_path = 'recorder'; SELECT otel.record_span('as owner', now())});
is($recorder->told, '', 'a span is queued where an index has a function');
like(slurp_file($node->logfile, $offset), qr/index of as owner: table_owner pg_catalog, pg_temp$/m,
	'the function of an index runs as the table\'s owner, with a safe search_path');
is($recorder->ask('SHOW search_path'), 'recorder',
	'a session keeps its search_path where an index has a function');
is($recorder->ask('SELECT current_user'), 'recorder',
	'a session keeps its role where an index has a function');
$recorder->quit;
$node->safe_psql('postgres', 'DROP INDEX otel.says');

# An error that the function handles by itself resets PostgreSQL's count of held interrupts.
$node->safe_psql('postgres', q{
	CREATE FUNCTION handles(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
		RETURN 1 / 0; EXCEPTION WHEN division_by_zero THEN RETURN $1; END $$;
	CREATE INDEX handles ON otel.span_queue (public.handles(name))});
my ($status, undef, $error) = $node->psql('postgres', q{
	SELECT otel.record_span('handled', now());
	SET statement_timeout = '100ms';
	SELECT pg_sleep(10)}, on_error_stop => 0);
like($error, qr/canceling statement due to statement timeout/,
	'a session can be interrupted after an index\'s function handled an error');
$node->safe_psql('postgres', q{DROP INDEX otel.handles;
	DELETE FROM otel.span_queue WHERE name = 'handled'});

# A function that itself uses spans, among them the very one whose row is being written: in the
# middle of a COMMIT they all do nothing.
$node->safe_psql('postgres', q{
	CREATE FUNCTION runs_job() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
			CALL otel.trace_job('a job', 'SELECT 1');
		END $$;
	CREATE FUNCTION uses_spans(name text, written otel.trace_context) RETURNS text
		IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
			ASSERT otel.start_span('within') IS NULL AND otel.record_span('within', now()) IS NULL;
			PERFORM otel.record_wait(written, now());
			PERFORM otel.set_attributes('{"from": "index"}', written),
				otel.add_event('from an index', span => written),
				otel.update_name('renamed', written),
				otel.end_span('error', 'by an index', span => written),
				otel.discard_span(written), otel.end_span(), otel.discard_span();
			PERFORM public.runs_job();
			RETURN name;
		END $$;
	CREATE INDEX uses_spans ON otel.span_queue (public.uses_spans(name, context))
		WHERE name IN ('ended', 'of the transaction')});
$session->ask(q{SELECT otel.start_span('of the session', scope => 'session')});
$session->ask(q{
	BEGIN;
	SELECT otel.start_span('of the transaction'), otel.record_span('ended', now())});
$session->ask('COMMIT');
unlike($session->told, qr/could not be queued/,
	'a span is queued where an index has a function that uses spans');
is($node->safe_psql('postgres', q{SELECT string_agg(name, ', ' ORDER BY name) FROM otel.span_queue
		WHERE attributes IS NULL AND events IS NULL AND status_code = 0 AND start_time
			> (SELECT max(start_time) FROM otel.span_queue WHERE name = 'as owner')}),
	'ended, of the transaction',
	'span functions in an index change no span that is written, and add none');
$session->ask('SELECT otel.end_span()');
is($session->ask('SELECT otel.current_trace_context() IS NULL'), 't',
	'span functions in an index end no span, and leave none open');
$node->safe_psql('postgres', q{DROP INDEX otel.uses_spans;
	DELETE FROM otel.span_queue WHERE name IN ('ended', 'of the transaction', 'of the session')});

# The exporter moves the rows.
$receiver->answer({ status => 404 });
$offset = -s $node->logfile;
OtelExport::set($node, q{otel.traces_exporter = 'otlp'});
$session->ask(q{SELECT otel.record_span('starts the exporter', now())});
OtelExport::wait_drained($node);
my ($failed, $exported) = map { $node->safe_psql('postgres',
	"SELECT count(*) FROM otel.$_") } qw(failed_spans exported_spans);
is($failed + $exported, 1107, 'all spans were set aside or kept');
like(slurp_file($node->logfile, $offset),
	qr/index of starts the exporter: table_owner pg_catalog, pg_temp$/m,
	'the exporter, a superuser, runs the function of an index as the owner, too');
right('failed_spans', $failed, 'the indexes have what was set aside');
right('exported_spans', $exported, 'the indexes have what is kept');
$node->safe_psql('postgres', 'VACUUM otel.span_queue');
right('span_queue', 0, 'empty after a vacuum');
$node->safe_psql('postgres', 'SELECT otel.retry_failed()');
OtelExport::wait_drained($node);
$node->safe_psql('postgres', 'VACUUM otel.failed_spans; VACUUM otel.span_queue');
right('failed_spans', 0, 'empty after otel.retry_failed() and a vacuum');
right('exported_spans', 1107, 'the kept spans are in the indexes');
OtelExport::record_batch($node, 'second', 500);
OtelExport::wait_drained($node);
right('exported_spans', 1607, 'rows that took the place of vacuumed ones are found, too');
$session->quit;
$node->stop;

done_testing();
