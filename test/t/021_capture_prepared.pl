# Which executions of a prepared statement its comment speaks for, over the wire protocol itself.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wire;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', 'plan_cache_mode = auto');
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION otel_links;
	CREATE TABLE jobs (id int GENERATED ALWAYS AS IDENTITY, how text,
		trace_context otel.trace_context DEFAULT otel.current_trace_context());
	CREATE FUNCTION enqueue(how text) RETURNS text LANGUAGE plpgsql AS $$
		DECLARE r record;
		BEGIN
			FOR r IN INSERT INTO jobs (how) VALUES (how) RETURNING trace_context LOOP
				RETURN right(otel.trace_id(r.trace_context), 1);
			END LOOP;
		END $$;
	CREATE PROCEDURE enqueue_and_commit(how text) LANGUAGE plpgsql AS $$
		BEGIN
			PERFORM enqueue(how);
			COMMIT;
			PERFORM enqueue(how);
		END $$;
});

# A comment that holds the context of a digit.
sub from
{
	return "/*traceparent='00-4bf92f3577b34da6a3ce929d0e0e473$_[0]-00f067aa0ba902b7-01'*/";
}

my $insert = 'INSERT INTO jobs (how) VALUES ($1) ' . from(1);

# The digits of the contexts recorded since the last call, "-" for none.
sub recorded
{
	return $node->safe_psql('postgres', q{
		WITH rows AS (DELETE FROM jobs RETURNING id, trace_context)
		SELECT string_agg(coalesce(right(otel.trace_id(trace_context), 1), '-'), '' ORDER BY id)
			FROM rows});
}

my $wire = Wire->connect($node, 'postgres');

# ---- unnamed statements ----

$wire->run(parse => ['', $insert], bind => ['', '', 'x'], execute => ['']);
is(recorded(), '1', 'an unnamed statement has the context of its comment');

$wire->run(parse => ['', $insert], bind => ['', '', 'x'], execute => ['']);
$wire->run(bind => ['', '', 'x'], execute => ['']);
is(recorded(), '11', 'an unnamed statement executed again keeps its comment: no server can tell');

$wire->run(map { (parse => ['', 'INSERT INTO jobs (how) VALUES ($1) ' . from($_)],
	bind => ['', '', 'x'], execute => ['']) } 1 .. 3);
is(recorded(), '123', 'each unnamed statement of a pipeline has the context of its own comment');

# ---- named statements ----

$wire->run(parse => ['s1', $insert], bind => ['', 's1', 'x'], execute => ['']);
is(recorded(), '1', 'the first execution of a named statement has its comment');
$wire->run(bind => ['', 's1', 'x'], execute => ['']) for 1 .. 7;
is(recorded(), '-------',
	'later executions of a named statement have no context, with custom plans and generic ones');

$wire->run(parse => ['s2', $insert]);
$wire->run(bind => ['', 's2', 'x'], execute => ['']);
$wire->run(bind => ['', 's2', 'x'], execute => ['']);
is(recorded(), '1-', 'a named statement parsed in a message of its own has no context later');

$wire->query('BEGIN');
$wire->run(parse => ['s3', $insert]);
$wire->run(bind => ['', 's3', 'x'], execute => ['']) for 1 .. 8;
is(recorded_in($wire), '11111111',
	'all executions in the transaction that prepared a statement have its comment');
$wire->query('COMMIT');
$wire->query('BEGIN');
$wire->run(bind => ['', 's3', 'x'], execute => ['']);
$wire->query('COMMIT');
is(recorded(), '-', 'no execution in the next transaction has the comment');

# prepared earlier, as drivers with a cache of statements and pgx's Batch do
$wire->run(parse => ['b1', $insert]);
$wire->run(parse => ['b2', $insert =~ s/4731/4732/r]);
$wire->run(map { (bind => ['', $_, 'x'], execute => ['']) } qw(b1 b1 b2 b1 b2));
is(recorded(), '11212', 'executions in the transaction of the first one have their comments');
$wire->run(map { (bind => ['', $_, 'x'], execute => ['']) } qw(b1 b2));
is(recorded(), '--', 'executions in a later transaction have no context');

$wire->run(parse => ['old', $insert]);
$wire->query('SELECT pg_sleep(1.1)');
$wire->run(bind => ['', 'old', 'x'], execute => ['']);
is(recorded(), '-',
	'first executed more than a second after it was prepared, it may be of another request');
$wire->query('BEGIN');
$wire->run(parse => ['old2', $insert]);
$wire->query('SELECT pg_sleep(1.1)');
$wire->run(bind => ['', 'old2', 'x'], execute => ['']) for 1 .. 2;
$wire->query('COMMIT');
is(recorded(), '11',
	'in the transaction that prepared it, a statement may be executed later than a second after');

$wire->run(parse => ['s4', $insert], map { (bind => ['', 's4', "x$_"], execute => ['']) } 1 .. 8);
is(recorded(), '11111111', 'all rows of executemany, which is one transaction, have the comment');

$wire->query('BEGIN');
$wire->run(bind => ['', 's4', 'x'], execute => ['']);
$wire->query(
	q{SET LOCAL otel.traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4739-00f067aa0ba902b7-01'});
$wire->run(bind => ['', 's4', 'x'], execute => ['']);
$wire->query('COMMIT');
is(recorded(), '-9', 'SET LOCAL speaks for every execution');

# ---- names that come and go ----

$wire->run(parse => ['s5', $insert]);
$wire->run(bind => ['p5', 's5', 'x'], close_statement => ['s5'], execute => ['p5']);
is(recorded(), '-', 'a statement closed before its portal is executed has no context');

$wire->run(parse => ['s6', $insert]);
$wire->run(bind => ['', 's6', 'x'], execute => ['']);
recorded();
$wire->run(bind => ['p6', 's6', 'x'], close_statement => ['s6'],
	parse => ['s6', 'SELECT 1 ' . from(2)], execute => ['p6']);
is(recorded(), '-', 'another statement prepared under its name does not vouch for a portal');

$wire->run(close_statement => ['s6'], parse => ['s6', $insert =~ s/4731/4733/r],
	bind => ['', 's6', 'x'], execute => ['']);
is(recorded(), '3', 'a statement prepared anew under an old name has the context of its comment');

$wire->query('DEALLOCATE ALL');
$wire->run(parse => ['s7', $insert], bind => ['p7', 's7', 'x']);
$wire->query('DEALLOCATE ALL');
$wire->run(parse => ['s7', $insert], bind => ['', 's7', 'x'], execute => ['']);
is(recorded(), '1',
	'a statement prepared anew after DEALLOCATE ALL has the context of its comment');

# ---- why a statement is not trusted ----

my $why = q{SELECT reason FROM otel.trace_context_sources() WHERE source = 'comment' } . from(1);

sub reason
{
	my @rows = $wire->run(@_);
	return $rows[-1];
}

is(reason(parse => ['w1', $why], bind => ['', 'w1'], execute => ['']), '',
	'a first execution is trusted');
is(reason(bind => ['', 'w1'], execute => ['']),
	'not trusted: statement "w1" was prepared by an earlier request',
	'trace_context_sources(): prepared earlier');
is(reason(parse => ['w2', $why], bind => ['', 'w2'], close_statement => ['w2'], execute => ['']),
	'not trusted: statement "w2" was closed or prepared anew before it ran',
		'trace_context_sources(): closed');
is(reason(parse => ['PGCAT_1', $why], bind => ['', 'PGCAT_1'], execute => ['']),
	'not trusted: a pooler prepared the statement, because its name "PGCAT_1" is like PGCAT\_%',
	'trace_context_sources(): prepared by a pooler');
$wire->query(q{SET otel.traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4739-00f067aa0ba902b7-01'});
is(reason(parse => ['PGCAT_2', $why =~ s/'comment'/'session'/r], bind => ['', 'PGCAT_2'],
	execute => ['']),
	'not trusted: a pooler prepared the statement, because its name "PGCAT_2" is like PGCAT\_%',
	'trace_context_sources(): the session of a pooler');
$wire->query('RESET otel.traceparent');

# ---- poolers ----

# the names that each of them makes
for my $name ('PGBOUNCER_17', 'PGCAT_7', '__pgdog_7', 'DOORMAN_7', 'odyssey_pstmt_7',
	'supavisor_-576460752303416415', 'sv_u4pruydqqvj8xYz0/aB+c')
{
	$wire->run(parse => [$name, $insert], bind => ['', $name, 'x'], execute => ['']);
	is(recorded(), '-',
		"the comment of a statement that a pooler prepared as $name is never trusted");
}

# names that drivers make, of which some begin alike
for my $name ('S_1', 's', 'sqlx_s_1', '__asyncpg_stmt_1__', '_pg3_0', 'lrupsc_1_0', 'stmtcache_1',
	'pdo_stmt_1',
	'a1', 'P', 'PGCAT', 'PGCATx1', 'supavisor', '__pgdogs', 'svx1')
{
	$wire->run(parse => [$name, $insert], bind => ['', $name, 'x'], execute => ['']);
	is(recorded(), '1', "a statement called $name is a client's");
}

$wire->query(q{SET otel.pooler_statement_names = 'PGBOUNCER_%, mine_%e, %\\_tail'});
for my $name ('mine_one', 'a_tail', '_tail')
{
	$wire->run(parse => [$name, $insert], bind => ['', $name, 'x'], execute => ['']);
	is(recorded(), '-', "the names are patterns in a setting: $name");
}
$wire->run(parse => ['mine_1', $insert], bind => ['', 'mine_1', 'x'], execute => ['']);
$wire->run(parse => ['a-tail', $insert], bind => ['', 'a-tail', 'x'], execute => ['']);
is(recorded(), '11', 'patterns of pooler names match the whole name');
$wire->query(q{SET otel.pooler_statement_names = ''});
$wire->run(parse => ['PGBOUNCER_18', $insert], bind => ['', 'PGBOUNCER_18', 'x'], execute => ['']);
is(recorded(), '1', 'the list may be empty');
$wire->query('RESET otel.pooler_statement_names');
$wire->query(q{SET otel.traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4739-00f067aa0ba902b7-01'});
$wire->run(parse => ['PGBOUNCER_19', $insert], bind => ['', 'PGBOUNCER_19', 'x'], execute => ['']);
$wire->run(parse => ['mine_2', $insert =~ s/4731/473x/r], bind => ['', 'mine_2', 'x'],
	execute => ['']);
is(recorded(), '-9',
	'what some client of the pooler has set for the session does not count either');
$wire->query('RESET otel.traceparent');

$wire->query('SET otel.context_sources = transaction, comment, application_name');
$wire->query(q{SET application_name = '00-4bf92f3577b34da6a3ce929d0e0e4738-00f067aa0ba902b7-01'});
$wire->run(parse => ['PGBOUNCER_21', $insert], bind => ['', 'PGBOUNCER_21', 'x'], execute => ['']);
is(recorded(), '8', 'application_name does, because poolers carry it over with the client');
$wire->query('RESET otel.context_sources');
$wire->query('RESET application_name');

# ---- portals ----

my $calls = 'SELECT enqueue($1 || i) FROM generate_series(1, 4) i ' . from(1);
$wire->query('BEGIN');
is(join('', $wire->run(parse => ['f1', $calls], bind => ['p', 'f1', 'x'], execute => ['p', 2])),
	'11',
	'a function\'s FOR IN INSERT RETURNING has the comment of the client\'s statement');
$wire->run(bind => ['', 'f1', 'x'], execute => ['']);
is(join('', $wire->run(execute => ['p', 0])), '11', 'a portal that is continued keeps the comment');
$wire->query('COMMIT');
is(recorded(), '11' . '1111' . '11',
	'executions in the transaction that prepared it have the comment ' .
	'through a function\'s portal');
is(join('', $wire->run(bind => ['', 'f1', 'x'], execute => [''])), '',
	'a later execution through a function\'s portal has no context')
  or diag('FOR IN INSERT RETURNING must not hide the name of the client\'s statement');
is(recorded(), '----', 'a later execution of the client\'s statement has no context');

$wire->run(parse => ['', 'CALL enqueue_and_commit($1) ' . from(2)], bind => ['', '', 'x'],
	execute => ['']);
is(recorded(), '22', 'a procedure that commits keeps the comment of its CALL');
$wire->run(parse => ['c1', 'CALL enqueue_and_commit($1) ' . from(2)], bind => ['', 'c1', 'x'],
	execute => ['']);
is(recorded(), '22', 'a procedure that commits keeps the comment of a named CALL');
$wire->run(bind => ['', 'c1', 'x'], execute => ['']);
is(recorded(), '--',
	'a procedure that commits has no context when its named CALL is executed again');

$wire->run(parse => ['u1', 'DO $$ BEGIN PERFORM enqueue(\'do\'); END $$ ' . from(3)],
	bind => ['', 'u1'], execute => ['']);
$wire->run(bind => ['', 'u1'], execute => ['']);
is(recorded(), '3-', 'a utility statement has the context of its comment');

$wire->query('BEGIN');
$wire->run(parse => ['n1', $insert], bind => ['', 'n1', 'x'], execute => ['']);
$wire->query('COMMIT');
$wire->run(bind => ['<unnamed>', 'n1', 'x'], execute => ['<unnamed>']);
is(recorded(), '1-', 'a portal whose name is "<unnamed>" makes no statement trusted');

# ---- the COMMIT under which deferred triggers run: its portal is gone by then ----

$node->safe_psql('postgres', q{
	CREATE TABLE orders (id int);
	CREATE FUNCTION enqueue_order() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN INSERT INTO jobs (how) VALUES ('deferred'); RETURN NULL; END $$;
	CREATE CONSTRAINT TRIGGER later AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION enqueue_order();
});

# A transaction that ends as the messages say.
sub order
{
	my @messages = @_;
	$wire->query('BEGIN; INSERT INTO orders VALUES (1)');
	$messages[0] eq 'query' ? $wire->query($messages[1]) : $wire->run(@messages);
	return recorded();
}

is(order(query => 'COMMIT ' . from(1)), '1',
	'a deferred trigger has the context of the COMMIT\'s comment');
is(order(parse => ['', 'COMMIT ' . from(2)], bind => ['', ''], execute => ['']), '2',
	'a deferred trigger has the comment of an unnamed COMMIT');
is(order(parse => ['end', 'COMMIT ' . from(3)], bind => ['', 'end'], execute => ['']), '3',
	'a deferred trigger has the comment of a named COMMIT');
is(order(bind => ['', 'end'], execute => ['']), '-',
	'a deferred trigger has no context when a named COMMIT is executed again');
is(order(parse => ['PGBOUNCER_20', 'COMMIT ' . from(4)], bind => ['', 'PGBOUNCER_20'],
	execute => ['']), '-',
	'a deferred trigger has no context from a COMMIT that a pooler prepared');
is(order(query => 'END ' . from(5)), '5',
	'after such COMMITs a message has the context of its own comment');
$wire->query('BEGIN');
$wire->run(parse => ['undo', 'ROLLBACK ' . from(6)], bind => ['', 'undo'], execute => ['']);
is(order(parse => ['', 'COMMIT ' . from(7)], bind => ['', ''], execute => ['']), '7',
	'after a named ROLLBACK a message has the context of its own comment');

# Without a transaction block the trigger runs at Sync, when no statement is running any more.
$node->safe_psql('postgres', q{
	CREATE TABLE reasons (source text, reason text);
	CREATE FUNCTION note_reason() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO reasons SELECT source, reason FROM otel.trace_context_sources();
			RETURN NULL;
		END $$;
	CREATE CONSTRAINT TRIGGER noted AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION note_reason();
});
$wire->run(parse => ['', 'INSERT INTO orders VALUES (2) ' . from(8)], bind => ['', ''],
	execute => ['']);
is(recorded(), '-', 'a deferred trigger at the end of a pipeline has no context');
is($node->safe_psql('postgres', q{SELECT reason FROM reasons WHERE source = 'comment'}),
	'no message of a client is running',
	'otel.trace_context_sources() says that no message is running at the end of a pipeline');
$node->safe_psql('postgres', 'DROP TRIGGER noted ON orders');

# ---- messages that come at the same address ----

$wire->query('INSERT INTO jobs (how) VALUES (\'x\') ' . from($_)) for 1 .. 5;
is(recorded(), '12345',
	'messages of one length, one after another, have the contexts of their own comments');
$wire->query(join(';',
	map { "INSERT INTO jobs (how) VALUES ('x') " . ($_ % 2 ? from($_) : '') } 1 .. 9));
is(recorded(), '1-3-5-7-9', 'statements of one message have the contexts of their own comments');
$wire->query('SELECT enqueue(\'x\')' . from(4) . ';SELECT enqueue(\'y\')' . from(5)
	. ';SELECT enqueue(\'z\')');
is(recorded(), '45-', 'one cached plan of a function, different statements of one message');
$wire->query('SELECT enqueue(\'x\')' . from(4) . ';SELECT enqueue(\'y\');SELECT enqueue(\'z\')');
is(recorded(), '444', 'one comment for a message of several statements speaks for all of them');

$wire->disconnect;
$node->stop;
done_testing();

# As recorded(), inside the client's own transaction.
sub recorded_in
{
	my ($client) = @_;
	my ($digits) = $client->query(q{
		WITH rows AS (DELETE FROM jobs RETURNING id, trace_context)
		SELECT string_agg(coalesce(right(otel.trace_id(trace_context), 1), '-'), '' ORDER BY id)
			FROM rows});
	return $digits;
}
