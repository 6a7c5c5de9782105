# What the cost of a captured row does not depend on: open cursors, the number of statements in a
# message.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Wire;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION otel_links;
	CREATE TABLE jobs (how text, trace_context otel.trace_context
		DEFAULT otel.current_trace_context());
	CREATE FUNCTION enqueue_each(rows int) RETURNS void LANGUAGE plpgsql AS $$
		DECLARE r record;
		BEGIN
			FOR r IN INSERT INTO jobs (how) SELECT i FROM generate_series(1, rows) i RETURNING how
				LOOP
			END LOOP;
		END $$;
	CREATE TABLE orders (id int);
	CREATE FUNCTION enqueue_order() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN PERFORM enqueue_each(NEW.id); RETURN NULL; END $$;
	CREATE CONSTRAINT TRIGGER later AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION enqueue_order();
});

sub value { return ($_[0]->query($_[1]))[0] }

sub from
{
	return "/*traceparent='00-4bf92f3577b34da6a3ce929d0e0e473$_[0]-00f067aa0ba902b7-01'*/";
}

# The least time of three.
sub seconds
{
	my ($run) = @_;
	my $least;
	for (1 .. 3)
	{
		my $start = time;
		$run->();
		my $taken = time - $start;
		$least = $taken if !defined $least || $taken < $least;
	}
	return $least;
}

my $wire = Wire->connect($node, 'postgres');
my $ROWS = 20_000;
my %ways = (
	'extended protocol' => sub {
		$wire->run(
			parse => [ '',
				"INSERT INTO jobs (how) SELECT i FROM generate_series(1, $ROWS) i " . from(1) ],
			bind => [ '', '' ],
			execute => ['']);
	},
	'simple protocol, in a loop over INSERT … RETURNING' => sub {
		$wire->query("SELECT enqueue_each($ROWS) " . from(1));
	},
	'deferred to COMMIT, in a loop over INSERT … RETURNING' => sub {
		$wire->query('BEGIN');
		$wire->query("INSERT INTO orders VALUES ($ROWS)");
		$wire->query('COMMIT ' . from(1));
	});

my %few = map { $_ => seconds($ways{$_}) } keys %ways;
$wire->query('BEGIN');
$wire->query("DECLARE c$_ CURSOR WITH HOLD FOR SELECT 1") for 1 .. 1000;
$wire->query('COMMIT');
for my $way (sort keys %ways)
{
	my $many = seconds($ways{$way});
	cmp_ok($many, '<', 5 * $few{$way} + 0.05, "a row costs no more with 1,000 cursors open: $way");
	diag(sprintf '%s: %.3f s without cursors, %.3f s with', $way, $few{$way}, $many)
	  if $many >= 5 * $few{$way} + 0.05;
}
is(value($wire, 'SELECT count(*) FROM jobs WHERE trace_context IS NULL'), 0,
	'each of these rows has its context');
$wire->query('CLOSE ALL');

# a message of many statements, as restored dumps begin: with the reading of literals set in the
# same transaction; each with a comment of its own, or one for all
sub ambiguous
{
	my ($statements, $own) = @_;
	my $message = join '', map {
		"\nINSERT INTO jobs (how) VALUES ('a\\b$_') " . ($own ? from($_ % 9 + 1) : '') . ';'
	} 1 .. $statements;
	$wire->query('BEGIN');
	$wire->query('SET LOCAL standard_conforming_strings = on');
	$wire->query($message . ($own ? '' : from(1)));
	$wire->query('ROLLBACK');
}

for my $own (0, 1)
{
	my $short = seconds(sub { ambiguous(1000, $own) });
	my $long = seconds(sub { ambiguous(16_000, $own) });
	my $how = $own ? 'with comments of their own' : 'with one comment for all';
	cmp_ok($long, '<', 16 * 4 * $short + 0.05,
		"16 times as many statements in a message take not much more than 16 times as long, $how");
}

$wire->disconnect;
$node->stop;

# ---- a clock that ticks every 10 ms: what tells two messages apart is not the time ----

SKIP:
{
	my $library = "${PostgreSQL::Test::Utils::tmp_check}/coarse_clock.so";
	my $source = ($ENV{TESTDIR} || '.') . '/test/t/coarse_clock.c';
	my ($compiler) = `$ENV{PG_CONFIG} --cc` =~ /^(\S+)/;
	skip 'no C compiler for the coarse clock', 5
	  if !$compiler || system($compiler, '-shared', '-fPIC', '-o', $library, $source) != 0;
	{
		local $ENV{LD_PRELOAD} = $library;
		$node->start;
	}
	$wire = Wire->connect($node, 'postgres');

	# rows whose context is not that of their own message, of 1,000
	sub wrong
	{
		my ($begin, $insert) = @_;
		$wire->query('TRUNCATE jobs');
		$wire->query('BEGIN') if $begin;
		$insert->($_, "INSERT INTO jobs (how) VALUES ('" . ($_ % 9 + 1) . "') " . from($_ % 9 + 1))
		  for 1 .. 1000;
		$wire->query('COMMIT') if $begin;
		return value($wire, q{SELECT count(*) FROM jobs
			WHERE right(otel.trace_id(trace_context), 1) IS DISTINCT FROM how});
	}

	is(value($wire, 'SELECT extract(microsecond FROM clock_timestamp())::int % 10000'), 0,
		'the clock of the server is coarse');
	is(wrong(1, sub { $wire->query($_[1]) }), 0, 'messages of one transaction on a coarse clock');
	is(wrong(0, sub { $wire->query($_[1]) }), 0, 'messages of one transaction each');
	is(wrong(1, sub { $wire->run(parse => [ '', $_[1] ], bind => [ '', '' ], execute => ['']) }), 0,
		'extended protocol');

	# a statement of an earlier transaction, executed again within the same tick of the clock
	my $stale = 0;
	for my $number (1 .. 200)
	{
		$wire->query('TRUNCATE jobs');
		$wire->run(parse => [ "s$number", q{INSERT INTO jobs (how) VALUES ('x') } . from(1) ],
			bind => [ '', "s$number" ], execute => ['']);
		$wire->run(bind => [ '', "s$number" ], execute => ['']);
		$stale += value($wire, 'SELECT count(trace_context) FROM jobs') - 1;
	}
	is($stale, 0, 'a named statement executed again in the next transaction of the same tick');
	$wire->disconnect;
	$node->stop;
}

done_testing();
