# Where Citus is loaded: a worker that is lost costs no transaction that commits without a span; the
# hint for a span that was started elsewhere; statements without a location.
#
# like_citus.c stands in for Citus, which no package has.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;
use Wire;

my $library = "${PostgreSQL::Test::Utils::tmp_check}/like_citus.so";
my $source = ($ENV{TESTDIR} || '.') . '/test/t/like_citus.c';
my ($compiler) = `$ENV{PG_CONFIG} --cc` =~ /^(\S+)/;
chomp(my $headers = `$ENV{PG_CONFIG} --includedir-server`);
plan(skip_all => 'no C compiler for like_citus.c')
	if !$compiler
	|| system($compiler, '-shared', '-fPIC', "-I$headers", '-o', $library, $source) != 0;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', qq{
otel.traces_exporter = none
max_prepared_transactions = 5
shared_preload_libraries = '$library, otel_links'});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION otel_links;
	CREATE TABLE work (id int, trace_context otel.trace_context
		DEFAULT otel.current_trace_context())});

sub value { return $node->safe_psql('postgres', $_[0]) }

# The name and status of what is queued; then the queue is empty.
sub queued
{
	return value(q{
		WITH gone AS (DELETE FROM otel.span_queue RETURNING name, status_code, start_time)
		SELECT string_agg(name || ' ' || status_code, ', ' ORDER BY start_time) FROM gone});
}

# ---- a worker that is lost between the last statement and COMMIT ----
my $session = Session->new($node, 'postgres');
$session->ask(q{
	BEGIN;
	INSERT INTO work VALUES (1);
	SELECT otel.start_span('lost a worker');
	SET LOCAL like_citus.worker_lost = on});
$session->ask('COMMIT');
like($session->told, qr/\AWARNING:  span "lost a worker" was open [^\n]*\nHINT:[^\n]*\n\z/,
	'a COMMIT with a span raises nothing where a worker is lost');
is(value('SELECT count(*) FROM work'), 1, 'a transaction that lost a worker commits');
is(queued(), 'lost a worker 0', 'a transaction that lost a worker queues its span');

$session->ask(q{
	BEGIN;
	INSERT INTO work VALUES (2);
	SELECT otel.record_span('prepared', now());
	SET LOCAL like_citus.worker_lost = on});
$session->ask(q{PREPARE TRANSACTION 'a'});
$session->ask(q{COMMIT PREPARED 'a'});
is($session->told, '', 'a transaction with a span is prepared where a worker is lost');
is(queued(), 'prepared 0', 'a transaction that is prepared there queues its span');

$session->ask(q{
	BEGIN;
	SELECT otel.record_span('rolled back', now());
	SET LOCAL like_citus.worker_lost = on});
$session->ask('ROLLBACK');
$session->quit;
$node->poll_query_until('postgres', 'SELECT EXISTS (SELECT FROM otel.span_queue)');
is(queued(), 'rolled back 2', 'a session that lost a worker queues its spans as it ends');

# ---- what a sampler leaves out ----
my $not_sampled = 'SELECT not_sampled FROM otel.export_metrics';
$session = Session->new($node, 'postgres');
$session->ask(q{SET otel.traces_sampler = always_off; SELECT otel.record_span('left out', now())});
is(value($not_sampled), 1, 'a COMMIT counts what a sampler left out');
$session->quit;

# ---- the price: what keeps a row from being appended costs a session one transaction ----
value(q{
	CREATE FUNCTION fails(name text) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
		$$ BEGIN RETURN 1 / (name = 'good')::int; END $$;
	CREATE INDEX failing ON otel.span_queue (public.fails(name))});
$session = Session->new($node, 'postgres');
for my $time (1 .. 3)
{
	$session->ask(q{BEGIN; INSERT INTO work VALUES (3); SELECT otel.record_span('bad', now())});
	$session->ask('COMMIT');
	like($session->told,
		$time == 1 ? qr/\AERROR:  division by zero/
		: qr/\AWARNING:  spans could not be queued: division by zero/,
		"COMMIT $time of a session that cannot append");
}
is(value('SELECT count(*) FROM work WHERE id = 3'), 2, 'only the first one fails');
value('DROP INDEX otel.failing');
$session->ask('SELECT 1');
is(queued(), 'bad 2, bad 0, bad 0', 'no span is lost by that');
$session->quit;

# ---- a span that was started elsewhere ----
my $hint = qr/HINT:  Was it started on a worker\?  Read the links first, then call the span /;
my $elsewhere = q{'00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'};
(undef, undef, my $error) = $node->psql('postgres', 'SELECT otel.end_span()');
like($error, qr/WARNING:  no span is open\n$hint/, 'end_span() without a span has a hint');
(undef, undef, $error) =
	$node->psql('postgres', "SELECT otel.set_attributes('{}', span => $elsewhere)");
like($error, qr/WARNING:  the span is not one of this session, [^\n]*\n$hint/,
	'a function for a span of another session has the hint');

# ---- statements without a location, several in a message ----
my $wire = Wire->connect($node, 'postgres');
sub insert_of
{
	my ($digit) = @_;
	my $trace = $digit x 32;
	return "INSERT INTO work VALUES (10) /*traceparent='00-$trace-00f067aa0ba902b7-01'*/;";
}
sub contexts
{
	my ($message) = @_;
	$wire->query($message);
	return value(q{
		WITH gone AS (DELETE FROM work WHERE id = 10 RETURNING trace_context)
		SELECT string_agg(coalesce(left(otel.trace_id(trace_context), 1), '-'), '') FROM gone});
}
is(contexts(insert_of(1)), '1', 'a message of one statement has one comment, wherever it stands');
is(contexts(insert_of(1) . insert_of(2) . insert_of(3)), '---',
	'of a message of several, no row gets the comment of another');
is(contexts('INSERT INTO work VALUES (10);' . insert_of(4)), '44',
	'one context in a message of several speaks for all of them');

$wire->disconnect;
$node->stop;
done_testing();
