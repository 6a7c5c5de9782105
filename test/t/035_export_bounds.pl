# What the exporter promises whatever the load: that spans leave soon wherever in the queue they
# appear, and that no table grows without bound, the toasted links included.
use strict;
use warnings;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;
use Time::HiRes qw(time);

my $receiver = OtelExport->receiver;
my $node = OtelExport::node('main', $receiver, 'otel.bsp_schedule_delay = 2000');
my $bytes = q{pg_table_size('otel.%s')};

# Spans of 128 links each: some 5 kB, nearly all of it toasted.
sub record_linked
{
	my ($name, $count) = @_;
	$node->safe_psql('postgres', qq{
		SELECT count(otel.record_span('$name-' || i, now(), links => (
			SELECT array_agg(otel.span_link(otel.from_ids(md5(i || '/' || j),
				left(md5(j || '$name' || i), 16), 1)))
			FROM generate_series(1, 128) j)))
		FROM generate_series(1, $count) i});
}

sub number { return $node->safe_psql('postgres', $_[0]) }

# Rows that are committed late stand in front of those that have been read: 10,000 spans of one
# transaction are written before its end.
my $late = Session->new($node, 'postgres');
OtelExport::record($node, 'before', 1);
OtelExport::wait_drained($node);
$late->ask("BEGIN; SELECT count(otel.record_span('late', now())) FROM generate_series(1, 10001)");
OtelExport::record($node, 'after', 1);
OtelExport::wait_until(sub { $receiver->span_names(qr/^after-/) });
my $start = time;
$late->ask('COMMIT');
OtelExport::wait_until(sub { $receiver->span_names(qr/^late$/) });
cmp_ok(time - $start, '<', 20,
	'rows that appear before the place where reading has come to are read soon');
$late->quit;
$node->safe_psql('postgres', 'SELECT otel.force_flush()');
# the queue's own setting leaves its files as long as they are
$node->safe_psql('postgres', 'VACUUM (TRUNCATE) otel.span_queue');

# Where nothing exports, sessions keep the bound.
OtelExport::set($node, "otel.traces_exporter = 'NONE'", "otel.queue_max_size = '512kB'");
ok(OtelExport::wait_sql($node, 'SELECT NOT exporter_running FROM otel.export_status'),
	'with otel.traces_exporter = none the exporter leaves')
  if $node->safe_psql('postgres',
  	q{SELECT pg_terminate_backend(exporter_pid) FROM otel.export_status});
record_linked("held$_", 40) foreach 1 .. 10;
cmp_ok(number(sprintf("SELECT $bytes", 'span_queue')), '<', 1024 * 1024,
	'otel.queue_max_size counts toasted links');
is(number('SELECT pending + dropped FROM otel.export_status'), 400,
	'each span waits or is counted as dropped');
cmp_ok(number('SELECT dropped FROM otel.export_status'), '>', 0,
	'above otel.queue_max_size sessions drop spans');
is(number('SELECT otel.force_flush()'), 0,
	'otel.traces_exporter may be written in capitals: force_flush does not wait');

# otel.failed_spans has the same bound.
OtelExport::set($node, "otel.traces_exporter = 'otlp'", "otel.queue_max_size = '256kB'",
	'otel.bsp_schedule_delay = 100');
$node->safe_psql('postgres', 'SELECT otel.force_flush()');
my $dropped = number('SELECT dropped FROM otel.export_status');
$receiver->answer({ status => 400, times => 0 });
foreach my $round (1 .. 5)
{
	record_linked("refused$round", 20);
	number('SELECT otel.force_flush(5000)');
	OtelExport::wait_drained($node);
}
cmp_ok(number(sprintf("SELECT $bytes", 'failed_spans')), '<', 512 * 1024,
	'the bound of failed_spans counts toasted links');
is(number("SELECT failed + dropped - $dropped FROM otel.export_status"), 100,
	'spans that find no room in failed_spans are counted as dropped');
cmp_ok(number('SELECT failed FROM otel.export_status'), '<', 100,
	'failed_spans keeps within its bound');

# Rows that were deleted, and that no vacuum has removed, take no room there.
number('WITH gone AS (DELETE FROM otel.failed_spans RETURNING 1) SELECT count(*) FROM gone');
$dropped = number('SELECT dropped FROM otel.export_status');
# A reload ends the wait that follows a refusal.
sub export_now
{
	$node->reload;
	return OtelExport::wait_drained($node);
}

foreach my $round (1 .. 4)
{
	$receiver->answer({ status => 401, times => 0 });
	record_linked("again$round", 20);
	export_now();
	is(number('SELECT failed FROM otel.export_status'), 20,
		"failed_spans was emptied: all spans of a refused batch find room, round $round");
	$receiver->answer;
	is(number('SELECT otel.retry_failed()'), 20,
		"retry_failed() queues all of them again, round $round");
	export_now();
}
is(number("SELECT dropped - $dropped FROM otel.export_status"), 0,
	'no span is dropped while failed_spans has room');
is(scalar($receiver->span_names(qr/^again/)), 80, 'all spans queued again have arrived');

# The exporter does not wait for a synchronous standby that is away.
OtelExport::set($node, "synchronous_standby_names = 'nobody'");
$node->safe_psql('postgres',
	qq{SET synchronous_commit = local; SELECT otel.record_span('alone-$_', now()) IS NOT NULL})
  foreach 1 .. 2;
OtelExport::wait_until(sub { $receiver->span_names(qr/^alone/) });
is($node->safe_psql('postgres',
	'SET synchronous_commit = local; SELECT otel.record_span(\'alone-3\', now()) IS NOT NULL;
	SELECT otel.force_flush(10000) >= 0; SELECT pending = 0 FROM otel.export_status'), "t\nt\nt",
		'without its synchronous standby the exporter goes on');
OtelExport::set($node, "synchronous_standby_names = ''");

# Kept spans go when they have expired, not before, and also when the retention is made shorter.
OtelExport::set($node, "otel.retention = '1d'", 'otel.queue_max_size = 1GB');
$node->safe_psql('postgres', 'SELECT otel.force_flush()');
OtelExport::record($node, 'kept', 1);
OtelExport::wait_drained($node);
is(number("SELECT count(*) FROM otel.exported_spans WHERE name = 'kept-1'"), 1,
	'an exported span is kept');
OtelExport::set($node, "otel.retention = '3s'");
ok(OtelExport::wait_sql($node, 'SELECT count(*) = 0 FROM otel.exported_spans'),
	'a shorter retention counts at once');
OtelExport::record($node, 'brief', 1);
ok(OtelExport::wait_sql($node,
	q{SELECT count(*) = 1 FROM otel.exported_spans WHERE name = 'brief-1'}),
	'with the new retention an exported span is kept');
ok(OtelExport::wait_sql($node, 'SELECT count(*) = 0 FROM otel.exported_spans'),
	'an exported span is gone after the retention');

# Looking for them keeps no span waiting, however many are kept: a lock stands in for the time it
# takes.
my $locker = Session->new($node, 'postgres');
my $lock = 'BEGIN; LOCK TABLE otel.exported_spans IN SHARE ROW EXCLUSIVE MODE';
my $waiting = q{SELECT count(*) = %d FROM pg_locks WHERE relation = 'otel.exported_spans'::regclass
	AND NOT granted};
OtelExport::set($node, "otel.retention = '1h'");
number(q{SELECT count(pg_terminate_backend(exporter_pid)) FROM otel.export_status
	WHERE exporter_running});
OtelExport::wait_sql($node, 'SELECT NOT exporter_running FROM otel.export_status');
$locker->ask($lock);
# The span is there before the exporter: one that finds nothing looks for what has expired.
$node->safe_psql('postgres', q{LOAD 'otel_links'; SET otel.traces_exporter = 'none';
	SELECT otel.record_span('at once-1', now()); RESET otel.traces_exporter;
	SELECT otel.force_flush(0)});
ok(OtelExport::wait_until(sub { $receiver->span_names(qr/^at once/) }, 20),
	'an exporter that starts sends what waits before it looks for what has expired');
$locker->ask('COMMIT');
OtelExport::wait_drained($node);

# 40,000 kept spans, and one behind them that has expired; a second session gets its lock after one
# step.
$node->safe_psql('postgres', q{
	INSERT INTO otel.exported_spans
	SELECT 0, now(), now(), 0, 0, 0, 0, 1, 0, false,
	       otel.from_ids(md5(i::text), left(md5(i::text), 16), 1), NULL, 'many',
	       NULL, NULL, NULL, NULL,
	       CASE i WHEN 40001 THEN now() - interval '50 min' ELSE now() END
	FROM generate_series(1, 40001) i});
my $next = Session->new($node, 'postgres');
$locker->ask($lock);
OtelExport::set($node, "otel.retention = '40min'");
OtelExport::wait_sql($node, sprintf($waiting, 1));
$next->tell($lock);
OtelExport::wait_sql($node, sprintf($waiting, 2));
$locker->ask('COMMIT');
$next->answer;
is(number(q{SELECT count(*) FROM otel.exported_spans
	WHERE exported_at < now() - interval '45 min'}), 1,
	'expired spans are looked for in steps, each a transaction');
$next->quit;
ok(OtelExport::wait_sql($node,
	q{SELECT count(*) = 0 FROM otel.exported_spans WHERE exported_at < now() - interval '45 min'}),
	'every expired span is found in the end');
is(number(q{SELECT count(*) FROM otel.exported_spans WHERE name = 'many'}), 40000,
	'spans that have not expired stay');
$locker->quit;

# An idle exporter looks whether it may leave.  However long the queue, that keeps no commit from
# queueing.
OtelExport::set($node, 'otel.retention = 0', "otel.traces_exporter = 'none'");
my $reader = Session->new($node, 'postgres');
$reader->ask('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
$node->safe_psql('postgres',
	"SELECT count(otel.record_span('deleted', now())) FROM generate_series(1, 30000)")
	  foreach 1 .. 5;
$node->safe_psql('postgres', 'DELETE FROM otel.span_queue');
OtelExport::set($node, "otel.traces_exporter = 'otlp'", 'otel.exporter_idle_timeout = 0',
	'otel.bsp_schedule_delay = 1');
my $counted = 'SELECT exported + pending + failed + dropped FROM otel.export_status';
my $session = Session->new($node, 'postgres');
my $before = $session->ask($counted);
my @missing;
foreach my $i (1 .. 60)
{
	$session->ask("SELECT otel.record_span('busy', now()) IS NOT NULL");
	push @missing, $i if $session->ask($counted) != $before + $i;
}
is("@missing", '', 'every commit queues its span while the exporter looks whether it may leave');
$_->quit foreach $session, $reader;

done_testing();
