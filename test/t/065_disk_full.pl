# The disk is full when spans are to be queued: no session loses its work, nor the server its life,
# and each span is queued later, or counted.
#
# prlimit(1) bounds the size of the files that one server process may write.  PostgreSQL takes that
# for a full disk where a part of a page still fits, and for an error of its own, as it takes an
# exceeded disk quota, where none does.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

plan(skip_all => 'prlimit is not installed') if system('prlimit > /dev/null 2>&1') != 0;

my $node = PostgreSQL::Test::Cluster->new('main');
# no file of the write-ahead log may be larger than the queue
$node->init(extra => ['--wal-segsize=1']);
$node->append_conf('postgresql.conf', 'otel.traces_exporter = none');
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION otel_links;
	CREATE TABLE work (id int);
	SELECT count(otel.record_span('filler', now(), attributes =>
		jsonb_build_object('text', repeat('x', 1000)))) FROM generate_series(1, 2000)});

sub queue_size
{
	return $node->safe_psql('postgres', q{SELECT pg_relation_size('otel.span_queue')});
}

# The session may write files of that size and no larger.
sub limit
{
	my ($session, $size) = @_;
	system_or_bail('prlimit', '--pid', $session->pid, "--fsize=$size:unlimited");
}

# Records so many spans that they do not fit into what room the queue's pages have left.
sub record
{
	my ($session, $name) = @_;
	$session->ask(qq{
		BEGIN;
		INSERT INTO work VALUES (1);
		SELECT count(otel.record_span('$name', now(), attributes =>
			jsonb_build_object('text', repeat('x', 1000)))) FROM generate_series(1, 100);
		COMMIT});
}

sub count_of
{
	my ($name) = @_;
	return $node->safe_psql('postgres',
		"SELECT count(*) FROM otel.span_queue WHERE name = '$name'");
}

sub dropped
{
	return $node->safe_psql('postgres', 'SELECT dropped FROM otel.export_status');
}

my $dropped = 0;
for my $room (100, 0)
{
	my $full = $room ? 'where a part of a page fits' : 'where nothing fits';

	my $session = Session->new($node, 'postgres');
	record($session, "first $room");
	$node->safe_psql('postgres', 'TRUNCATE work');
	limit($session, queue_size() + $room);
	for my $time (1 .. 5)
	{
		record($session, "kept $room");
		like($session->told,
			qr/\AWARNING:  spans could not be queued: could not extend file [^\n]*\n/,
			"a COMMIT warns $full, time $time");
		unlike($session->told, qr/ERROR|FATAL|is dropped/,
			"a COMMIT warns of nothing else $full, time $time");
	}
	is($node->safe_psql('postgres', 'SELECT count(*) FROM work'), 5, "all work is committed $full");
	is(count_of("kept $room"), 0, 'the spans wait');
	limit($session, 'unlimited');
	$session->ask('SELECT 1');
	is(count_of("kept $room"), 500, 'all are queued when there is room again');
	is(dropped(), $dropped, 'none was dropped');

	for my $how ('leaves', 'is terminated')
	{
		my $log = -s $node->logfile;
		my $name = "$how $room";
		limit($session, queue_size() + $room);
		record($session, $name);
		if ($how eq 'leaves')
		{
			$session->quit;
		}
		else
		{
			$node->safe_psql('postgres', "SELECT pg_terminate_backend(${\$session->pid})");
		}
		ok($node->poll_query_until('postgres',
			"SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = ${\$session->pid})"),
			"a session that $how ends $full");
		$dropped += 100;
		is(count_of($name), 0, "the spans of a session that $how are not in the queue $full");
		is(dropped(), $dropped, "the spans of a session that $how count as dropped $full");
		my $logged = slurp_file($node->logfile, $log);
		like($logged,
			qr/LOG:  100 spans are lost: they could not be queued when their session ended/,
			"the log has the lost spans of a session that $how $full");
		unlike($logged, qr/PANIC|terminated by signal|terminating any other/,
			"the server lives when a session $how $full");
		$session = Session->new($node, 'postgres');
	}
	$session->quit;
}
$node->stop;

done_testing();
