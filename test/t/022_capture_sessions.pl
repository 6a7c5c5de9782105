# What a connection, a role, a database or the server sets; and processes that run no query string:
# logical replication's apply worker and parallel workers.  What a setting leaves in
# pg_stat_statements.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wire;

sub traceparent { return "00-4bf92f3577b34da6a3ce929d0e0e473$_[0]-00f067aa0ba902b7-01" }
sub from { return "/*traceparent='" . traceparent($_[0]) . "'*/" }

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 'logical');
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION otel_links;
	CREATE TABLE jobs (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, how text,
		trace_context otel.trace_context DEFAULT otel.current_trace_context());
	CREATE ROLE traced LOGIN;
	GRANT ALL ON jobs TO traced;
});

sub recorded
{
	my ($server) = @_;
	return $server->safe_psql('postgres', q{
		WITH rows AS (DELETE FROM jobs RETURNING id, trace_context)
		SELECT string_agg(coalesce(right(otel.trace_id(trace_context), 1), '-'), '' ORDER BY id)
			FROM rows});
}

my $plain = q{INSERT INTO jobs (how) VALUES ('x')};

# ---- what is set for the connection ----
{
	local $ENV{PGOPTIONS} = '-c otel.traceparent=' . traceparent(1) . ' -c otel.tracestate=a=1';
	$node->safe_psql('postgres', $plain);
	$node->safe_psql('postgres', $plain . from(2));
	$node->safe_psql('postgres',
		"BEGIN; SELECT otel.set_trace_context('" . traceparent(3) . "'); $plain; COMMIT");
	is($node->safe_psql('postgres',
		q{SELECT string_agg(coalesce(otel.trace_state(trace_context), '-'), '' ORDER BY id)
		FROM jobs}), 'a=1--', 'a tracestate from PGOPTIONS goes with its traceparent only');
	is(recorded($node), '123', 'PGOPTIONS ranks after a comment and what the transaction sets');

	my $wire = Wire->connect($node, 'postgres', options => '-c otel.traceparent=' . traceparent(4));
	$wire->query('BEGIN');
	$wire->query($plain);
	$wire->query('COMMIT');
	$wire->query('RESET ALL');
	$wire->query($plain);
	$wire->query("SET otel.traceparent = '" . traceparent(5) . "'");
	$wire->query($plain);
	$wire->query('DISCARD ALL');
	$wire->query($plain);
	$wire->disconnect;
	is(recorded($node), '4454', 'RESET ALL and DISCARD ALL return to what the connection said');
}

# a setting that came before the library was loaded, in the transaction that then uses it
my $wire = Wire->connect($node, 'postgres');
$wire->query('BEGIN');
$wire->query("SET LOCAL otel.traceparent = '" . traceparent(6) . "'");
$wire->query($plain . from(2));
$wire->query('COMMIT');
$wire->query($plain . from(2));
is(recorded($node), '62', 'SET LOCAL before the library is loaded counts in its transaction');
$wire->query('BEGIN');
$wire->query("SET otel.traceparent = '" . traceparent(7) . "'");
$wire->query('ROLLBACK');
$wire->query($plain);
$wire->query("SET otel.traceparent = '" . traceparent(7) . "'");
$wire->query($_) for $plain, $plain . from(2), "$plain;$plain" . from(3);
is(recorded($node), '-7233', 'SET for the session, after a SET that was rolled back');
$wire->query('SET otel.traceparent TO DEFAULT');
$wire->query('CREATE PROCEDURE enqueue() LANGUAGE plpgsql AS $$ BEGIN
	PERFORM set_config(\'otel.traceparent\', \'' . traceparent(8)
		. "', false); $plain; COMMIT; $plain; END \$\$");
$wire->query('CALL enqueue()' . from(2));
is(recorded($node), '82',
	'what a procedure sets for the session comes after the comment once it has committed');
$wire->disconnect;

# ---- what is set for a role, a database, the server ----
$node->safe_psql('postgres', "ALTER ROLE traced SET otel.traceparent = '" . traceparent(1) . "'");
$node->safe_psql('postgres', $plain, extra_params => [ '-U', 'traced' ]);
$node->safe_psql('postgres',
	"ALTER DATABASE postgres SET otel.traceparent = '" . traceparent(2) . "'");
$node->safe_psql('postgres', $plain);
$node->safe_psql('postgres', $plain, extra_params => [ '-U', 'traced' ]);
$node->safe_psql('postgres', $plain . from(3));
is(recorded($node), '1213', 'ALTER ROLE and ALTER DATABASE count as the session\'s');
$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET ALL; ALTER ROLE traced RESET ALL');
$node->safe_psql('postgres', "ALTER DATABASE postgres SET otel.propagators = 'none'");
$node->safe_psql('postgres', $plain . from(3));
is(recorded($node), '-', 'otel.propagators = none of a database stops capture there');
$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET ALL');

# ---- a database behind a transaction pooler, where a session is nobody's ----
$node->safe_psql('postgres',
	q{ALTER DATABASE postgres
		SET otel.context_sources = 'transaction, comment, postgrest, pg_tracing'});
$wire = Wire->connect($node, 'postgres', options => '-c otel.traceparent=' . traceparent(1));
$wire->query($plain);
$wire->query("SET otel.traceparent = '" . traceparent(2) . "'");
$wire->query($plain);
$wire->query($plain . from(3));
$wire->query("BEGIN; SET otel.traceparent = '" . traceparent(4) . "'");
$wire->query($plain);
$wire->query('COMMIT');
$wire->query($plain);
is(recorded($node), '--34-',
	'without the source session, what a transaction or a comment says still counts');
$wire->query("SET request.headers = '{\"traceparent\": \"" . traceparent(5) . "\"}'");
$wire->query($plain);
$wire->query('SET otel.context_sources = transaction, comment, session, postgrest');
$wire->query($plain);
is(recorded($node), '54',
	'later sources go on, and the session\'s counts again at once when it is turned on');
$wire->disconnect;

# what is no source warns and is as if it were not set; comments are turned off for one role
$node->safe_psql('postgres',
	q{ALTER DATABASE postgres SET otel.context_sources = 'comment, nonsense'});
my ($status, $out, $err) = $node->psql('postgres', "$plain" . from(3));
like($err, qr/WARNING:  invalid value for parameter "otel.context_sources"/,
	'a wrong list of a database warns');
is(recorded($node), '3', '... and the default counts');
$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET otel.context_sources');
$node->safe_psql('postgres',
	q{ALTER ROLE traced SET otel.context_sources = 'transaction, session'});
$node->safe_psql('postgres', $plain . from(3), extra_params => [ '-U', 'traced' ]);
$node->safe_psql('postgres',
	"BEGIN; SET LOCAL otel.traceparent = '" . traceparent(4) . "'; $plain" . from(3) . '; COMMIT',
	extra_params => [ '-U', 'traced' ]);
$node->safe_psql('postgres', $plain . from(3));
is(recorded($node), '-43', 'comments turned off for a role');
$node->safe_psql('postgres', 'ALTER ROLE traced RESET ALL');

# the library is loaded by an ALTER TABLE, and the next one has no portal of its own
is($node->safe_psql('postgres', q{
	CREATE TABLE migrated AS SELECT 1 AS id;
	SET otel.traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
	ALTER TABLE migrated ADD COLUMN a otel.trace_context DEFAULT otel.current_trace_context();
	DO $$ BEGIN
		ALTER TABLE migrated ADD COLUMN b otel.trace_context DEFAULT otel.current_trace_context();
	END $$;
	SELECT a IS NULL, b IS NULL FROM migrated}),
	't|t', 'neither the ALTER TABLE that loads the library nor one in DO after it gives a context');
$node->safe_psql('postgres', 'DROP TABLE migrated');

# the library is loaded by a query that has parallel workers already, to write its first row out
$node->safe_psql('postgres', q{ALTER DATABASE postgres SET otel.context_sources = 'comment'});
$node->safe_psql('postgres', $plain . from(3));
$wire = Wire->connect($node, 'postgres');
$wire->query('SET ' . ($node->pg_version >= 16 ? 'debug_parallel_query' : 'force_parallel_mode')
	. ' = on');
$wire->query('SELECT trace_context FROM jobs');
$wire->query("SET otel.traceparent = '" . traceparent(1) . "'");
$wire->query($plain);
is(recorded($node), '3-', 'settings made before a parallel query loaded the library hold');
$wire->disconnect;
$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET ALL');

# ---- standard_conforming_strings ----
SKIP:
{
	my ($off) = $node->psql('postgres', 'SET standard_conforming_strings = off');
	skip 'standard_conforming_strings cannot be turned off in this version', 2 if $off != 0;
	local $ENV{PGOPTIONS} = '-c standard_conforming_strings=off -c escape_string_warning=off';
	$node->safe_psql('postgres',
		q{INSERT INTO jobs (how) VALUES ('\\'} . from(1) =~ s/'//gr . q{')});
	$node->safe_psql('postgres', q{INSERT INTO jobs (how) VALUES ('\\\\')} . from(2));
	is(recorded($node), '-2',
		'comments are told from literals with standard_conforming_strings = off');

	# a function that has it set otherwise than the session had when it parsed the message
	$ENV{PGOPTIONS} = '';
	$node->safe_psql('postgres', q{CREATE FUNCTION add(text, text) RETURNS void LANGUAGE sql
		SET standard_conforming_strings = off AS 'INSERT INTO jobs (how) VALUES (''x'')'});
	my $comment_in_literal = from(3) =~ s/'//gr;
	$node->safe_psql('postgres', "SELECT add('C:\\', '$comment_in_literal')");
	$node->safe_psql('postgres', "SELECT add('C:', 'x')" . from(4));
	is(recorded($node), '-4',
		'a literal is no comment in a function that reads literals otherwise');
}

# ---- PostgREST's headers in a database that lacks their characters ----
$node->safe_psql('postgres',
	q{CREATE DATABASE latin1 TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'});
$node->safe_psql('latin1', 'CREATE EXTENSION otel_links');
my $json = '{"from": "\u20ac \ud83d\ude00", "traceparent": "' . traceparent(6) . '"}';
is($node->safe_psql('latin1',
	"SET request.headers = '$json'; SELECT right(otel.trace_id(otel.current_trace_context()), 1)"),
	'6', 'PostgREST\'s headers are read although the database lacks their characters');

# ---- parallel workers ----
$node->safe_psql('postgres',
	q{CREATE TABLE big AS SELECT generate_series(1, 1000) AS i; ANALYZE big});
is($node->safe_psql('postgres', q{
	SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
	SET max_parallel_workers_per_gather = 2;
	SELECT right(otel.trace_id(otel.current_trace_context()), 1), count(*) FROM big GROUP BY 1 }
		. from(2)),
	'2|1000', 'a parallel plan: every row has the context of the leader\'s statement');

# ---- logical replication ----
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init;
$subscriber->start;
$subscriber->safe_psql('postgres', q{
	CREATE EXTENSION otel_links;
	CREATE TABLE jobs (id int PRIMARY KEY, how text, trace_context otel.trace_context,
		own otel.trace_context DEFAULT otel.current_trace_context(), by_trigger otel.trace_context);
	CREATE TRIGGER capture BEFORE INSERT OR UPDATE ON jobs FOR EACH ROW
		EXECUTE FUNCTION otel.capture_trace_context('by_trigger', 'replace');
	ALTER TABLE jobs ENABLE ALWAYS TRIGGER capture;
});
$node->safe_psql('postgres', 'CREATE PUBLICATION pub FOR TABLE jobs');
$node->safe_psql('postgres', $plain . from(1));
my $connstr = $node->connstr . ' dbname=postgres';
$subscriber->safe_psql('postgres',
	"CREATE SUBSCRIPTION sub CONNECTION '$connstr' PUBLICATION pub " . from(9));
$subscriber->wait_for_subscription_sync($node, 'sub');
$node->safe_psql('postgres', $plain . from(2) . ";$plain");
$node->safe_psql('postgres', q{UPDATE jobs SET how = 'y'} . from(3));
$node->wait_for_catchup('sub');
is($subscriber->safe_psql('postgres', q{
	SELECT string_agg(coalesce(right(otel.trace_id(trace_context), 1), '-'), '' ORDER BY id),
		count(own), count(by_trigger), min(how) FROM jobs}), '12-|0|0|y',
	'rows keep the context that the publisher recorded; the apply worker has none of its own');

$subscriber->safe_psql('postgres',
	"ALTER ROLE CURRENT_USER SET otel.traceparent = '" . traceparent(5) . "'");
$subscriber->safe_psql('postgres', 'ALTER SUBSCRIPTION sub DISABLE');
$subscriber->poll_query_until('postgres',
	'SELECT count(*) = 0 FROM pg_stat_subscription WHERE pid IS NOT NULL');
$subscriber->safe_psql('postgres', 'ALTER SUBSCRIPTION sub ENABLE');
$node->safe_psql('postgres', $plain . from(2));
$node->wait_for_catchup('sub');
is($subscriber->safe_psql('postgres', q{
	SELECT right(otel.trace_id(trace_context), 1), right(otel.trace_id(own), 1),
		right(otel.trace_id(by_trigger), 1)
	FROM jobs ORDER BY id DESC LIMIT 1}), '2|5|5',
		'the apply worker has the context that somebody set for its role');

$subscriber->stop;

# ---- misspelled settings of capture ----

for my $name (qw(otel.context_source otel.pooler_statement_name))
{
	my (undef, undef, $stderr) = $node->psql('postgres', "SET $name = 'x'; LOAD 'otel_links'");
	like($stderr, qr/WARNING: +otel_links has no parameter "\Q$name\E".*Is it misspelled/s,
		"$name, which is misspelled, warns when the library is loaded");
}

# ---- pg_stat_statements: one entry, or one for each request ----

SKIP:
{
	skip 'pg_stat_statements is not installed', 2
	  unless -e $node->config_data('--pkglibdir') . '/pg_stat_statements.so';
	$node->append_conf('postgresql.conf', 'shared_preload_libraries = pg_stat_statements');
	$node->restart;
	$node->safe_psql('postgres', 'CREATE EXTENSION pg_stat_statements');
	my $wire = Wire->connect($node, 'postgres');
	$wire->run(
		parse => ['', 'SELECT otel.set_trace_context($1)'],
		bind => ['', '', traceparent($_)],
		execute => ['']) for 1 .. 5;
	$wire->query('BEGIN; SET LOCAL otel.traceparent = \'' . traceparent($_) . '\'; COMMIT')
	  for 1 .. 5;
	my $entries = sub {
		return $node->safe_psql('postgres',
			qq{SELECT count(*), sum(calls) FROM pg_stat_statements WHERE query LIKE '$_[0]'});
	};
	is($entries->('SELECT otel.set_trace_context%'), '1|5',
		'set_trace_context() with parameters is one entry in pg_stat_statements');
	is($entries->('SET LOCAL otel.traceparent%'), $node->pg_version < 18 ? '5|5' : '1|5',
		'SET LOCAL is an entry for each request in pg_stat_statements, up to PostgreSQL 17');
}

$node->stop;

done_testing();
