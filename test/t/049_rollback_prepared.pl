# ROLLBACK PREPARED takes the spans of the prepared transaction along.  They count as dropped,
# whichever session says it and whenever, and nothing of that costs anybody the ROLLBACK PREPARED.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', qq{
otel.traces_exporter = none
max_prepared_transactions = 10
session_preload_libraries = 'otel_links'});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION otel_links;
	CREATE ROLE somebody LOGIN;
	CREATE DATABASE other;
	CREATE TABLE work (id int)});

my $counted = 0;

# How many spans were counted as dropped since the last call.
sub newly_dropped
{
	my $dropped = $node->safe_psql('postgres', 'SELECT dropped FROM otel.export_status');
	my $more = $dropped - $counted;
	$counted = $dropped;
	return $more;
}

# Prepares a transaction with that many spans.
sub prepare
{
	my ($gid, $spans, $statement) = @_;
	$node->safe_psql('postgres', qq{
		BEGIN;
		INSERT INTO work VALUES (1);
		SELECT count(otel.record_span('$gid', now())) FROM generate_series(1, $spans);
		PREPARE TRANSACTION '$gid'});
}

sub roll_back
{
	my ($gid, %options) = @_;
	my ($status, undef, $error) =
		$node->psql('postgres', "ROLLBACK PREPARED '$gid'", %options);
	return $status == 0 ? 'rolled back' : $error;
}

# ---- what counts ----
prepare('one', 3);
is(roll_back('one'), 'rolled back', 'another session rolls a prepared transaction back');
is(newly_dropped(), 3, 'spans that another session rolls back count as dropped');

my $session = Session->new($node, 'postgres');
$session->ask(q{BEGIN; SELECT otel.record_span('own', now()); PREPARE TRANSACTION 'own'});
$session->ask(q{ROLLBACK PREPARED 'own'});
is($session->told, '', 'a session rolls back what it prepared');
is(newly_dropped(), 1, 'a span that its own session rolls back counts as dropped');

$session->ask(q{
	BEGIN;
	SELECT otel.record_span('outer', now());
	SAVEPOINT a;
	SELECT count(otel.record_span('early', now())) FROM generate_series(1, 10050);
	RELEASE a;
	SELECT otel.record_span('outer', now());
	PREPARE TRANSACTION 'early'});
roll_back('early');
is(newly_dropped(), 10052, 'spans that were appended before the transaction\'s end count, too');

prepare('committed', 7);
is($node->safe_psql('postgres', q{COMMIT PREPARED 'committed'; SELECT 1}), '1',
	'a prepared transaction is committed');
is(newly_dropped(), 0, 'COMMIT PREPARED drops nothing');

# ---- what does not count: rows of others, and what fails ----
prepare('neighbour', 20);
prepare('one', 2);
$session->ask(q{
	BEGIN;
	SELECT count(otel.record_span('running', now())) FROM generate_series(1, 10050)});
$node->safe_psql('postgres', q{SELECT otel.record_span('committed', now())});
$node->safe_psql('postgres',
	'BEGIN; INSERT INTO work VALUES (1); PREPARE TRANSACTION $$without$$' =~ s/\$\$/'/gr);
roll_back('without');
is(newly_dropped(), 0, 'a transaction without spans drops none');
like(roll_back('one', extra_params => [ '-U', 'somebody' ]), qr/permission denied/,
	'ROLLBACK PREPARED of somebody else\'s transaction fails as without otel_links');
like(roll_back('none'), qr/prepared transaction with identifier "none" does not exist/,
	'ROLLBACK PREPARED of an unknown transaction fails as without otel_links');
my (undef, undef, $error) = $node->psql('postgres', q{BEGIN; ROLLBACK PREPARED 'one'; COMMIT});
like($error, qr/ROLLBACK PREPARED cannot run inside a transaction block/,
	'ROLLBACK PREPARED in a transaction fails as without otel_links');
(undef, undef, $error) = $node->psql('other', q{ROLLBACK PREPARED 'one'});
like($error, qr/belongs to another database/,
	'ROLLBACK PREPARED in another database fails as without otel_links');
is(newly_dropped(), 0, 'no ROLLBACK PREPARED that fails counts anything');
roll_back('one');
is(newly_dropped(), 2, 'only the rows of the transaction itself count');
$session->ask('COMMIT');

# ---- where it cannot be counted at once, or not at all ----
prepare('one', 5);
$session->ask(q{SET default_transaction_read_only = on});
$session->ask(q{ROLLBACK PREPARED 'one'});
is($session->told, '', 'a read-only session rolls a prepared transaction back');
is(newly_dropped(), 0, 'a read-only session cannot count at once');
$session->ask(q{BEGIN READ WRITE; COMMIT});
is(newly_dropped(), 5, 'its next transaction that may write counts');
$session->ask(q{RESET default_transaction_read_only});

prepare('one', 4);
$session->tell(q{BEGIN; LOCK TABLE otel.span_queue IN ACCESS EXCLUSIVE MODE});
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks
	WHERE relation = 'otel.span_queue'::regclass AND mode = 'AccessExclusiveLock' AND NOT granted})
	or die 'nobody waits for the lock';
is(roll_back('one'), 'rolled back',
	'somebody who waits for a lock on the queue does not hold up ROLLBACK PREPARED');
roll_back('neighbour');
$session->answer;
$session->ask('COMMIT');
$session->quit;
newly_dropped();

# ---- over a crash ----
prepare('survivor', 6);
prepare('damaged', 8);
$node->stop('immediate');
$node->start;
roll_back('survivor');
is(newly_dropped(), 6, 'spans of a transaction that survived a crash of the server count');

# ---- a page of the queue that cannot be read ----
my $file = $node->data_dir . '/'
	. $node->safe_psql('postgres', q{SELECT pg_relation_filepath('otel.span_queue')});
$node->stop;
open(my $handle, '+<:raw', $file) or die "$file: $!";
print $handle "\xff" x 64;
close $handle;
$node->start;
my $offset = -s $node->logfile;
is(roll_back('damaged'), 'rolled back',
	'ROLLBACK PREPARED succeeds where a page of the queue is damaged');
like(slurp_file($node->logfile, $offset),
	qr/LOG:  spans of the prepared transaction "damaged" could not be counted: invalid page/,
	'the log says that spans on a damaged page are not counted');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_prepared_xacts'), 0,
	'nothing is left of the transaction with a damaged page');
$node->stop;

done_testing();
