# The comment scanner beside PostgreSQL's own lexer: random messages that are full of what only
# looks like a comment.  Every literal is also selected, so that its value proves that the server
# read the message as it was meant.  SEED=… tries other messages.
use strict;
use warnings;
use utf8;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wire;

my $MESSAGES = 3000;
my $seed = $ENV{SEED} // 1;
srand($seed);

sub pick { return $_[ int(rand(@_)) ] }
# A comment with the context that two digits stand for: the last ones of its trace and span ids.
sub comment_of
{
	my ($trace, $span) = split //, $_[0];
	$span //= 7;
	my $context = "00-4bf92f3577b34da6a3ce929d0e0e473$trace-00f067aa0ba902b$span-01";
	return "/*a='b',traceparent='$context'*/";
}

# What a literal is made of; context 9 must never be found.
my @bits = ('x', ' ', "'", "''", '"', '\\', "\\'", '/*', '*/', '--', '$$', '$a$', ';', "\n", "\r\n",
	"\xc3\xa9",
	'/', '*', 'e', "E'", comment_of(9), comment_of(9),
		"traceparent=00-4bf92f3577b34da6a3ce929d0e0e4739-00f067aa0ba902b7-01");

sub text { return join('', map { pick(@bits) } 1 .. 1 + int(rand 5)) }

# Each returns SQL and the value that it has.  $standard says what a plain literal does with a
# backslash.
my %makers = (
	plain => sub {
		my ($standard) = @_;
		my $value = text();
		my $sql = $value =~ s/'/''/gr;
		$sql =~ s/\\/\\\\/g unless $standard;
		return ("'$sql'", $value);
	},
	escape => sub {
		my $value = text();
		my $sql = $value =~ s/\\/\\\\/gr;
		$sql =~ s/'/rand() < 0.5 ? "''" : "\\'"/ge;
		return (pick('e', 'E') . "'$sql'", $value);
	},
	continued => sub {
		my ($first, $second) = (text(), text());
		s/\\/\\\\/g, s/'/\\'/g for my ($one, $two) = ($first, $second);
		return ("E'$one'" . pick("\n", " -- '\n", "\r", "\t\n -- " . comment_of(9) . "\n ")
			. "'$two'", $first . $second);
	},
	dollar => sub {
		my $tag = pick('', 'a', 'b1', '_', "\xc3\xa9");
		my $value = text() . 'z';
		$value =~ s/\$/x/g;
		$value .= pick('', '$', '$c$', '$1') . 'z' if $tag ne '';
		return ("\$$tag\$$value\$$tag\$", $value);
	},
	unicode => sub {
		my ($standard) = @_;
		return ("'u'", 'u') unless $standard;
		my $value = text();
		my $sql = $value =~ s/\\/\\\\/gr =~ s/'/''/gr;
		return ("U&'$sql'", $value);
	},
	bits => sub { return ("b'01'", '01') },
	identifier => sub {
		my $name = text() =~ s/"/""/gr;
		return ("7 AS \"$name\"", '7');
	},
	word => sub { return ('8 AS ' . pick('a$b$', 'typee', "\xc3\xa9e", 'n', '_$1'), '8') },
	parameter => sub { return ('1.5e1/*x*/', '15') });

# White space, at times with comments.  Returns it and the context that it holds, if any.
sub gap
{
	my $roll = rand();
	return (pick(' ', "\n", "\t\r\n"), undef) if $roll < 0.6;
	return (' -- ' . pick("it's", comment_of(9), '/*', '*/ ;') . "\n", undef) if $roll < 0.7;
	return ("/* don't $bits[5] /* " . comment_of(9) . " */ -- */", undef) if $roll < 0.8;
	return ("/**/", undef) if $roll < 0.85;
	my $context = (1 + int(rand 4)) . pick(7, 7, 8);
	return (pick('', ' ') . comment_of($context) . pick('', "\n"), $context);
}

my @gaps_contexts;

sub take_gap
{
	my ($sql, $context) = gap();
	push @gaps_contexts, $context if defined $context;
	return $sql;
}

sub distinct { return scalar keys %{ { map { $_ => 1 } @_ } } }

# What a statement with these contexts gets in a message with those.
sub expected_context
{
	my ($own, $all) = @_;
	return $all->[-1] if distinct(@$all) == 1;
	return distinct(map { substr($_, 0, 1) } @$own) == 1 ? $own->[-1] : '';
}

# A SELECT with gaps; and the row that it returns but for the context.
sub statement
{
	my ($standard) = @_;
	my ($sql, @values) = (take_gap() . 'SELECT' . take_gap()
		. 'right(otel.trace_id(otel.current_trace_context()),1)'
		. '||right(otel.span_id(otel.current_trace_context()),1)');
	for (1 .. 1 + int(rand 4))
	{
		my ($item, $value) = $makers{ pick(sort keys %makers) }->($standard);
		$sql .= take_gap() . ',' . take_gap() . $item;
		push @values, $value;
	}
	return ($sql . take_gap(), @values);
}

# A message; and its rows.
sub message
{
	my ($standard) = @_;
	my ($sql, @contexts, @values) = ('');
	my $statements = pick(1, 1, 2, 3);
	for my $number (1 .. $statements)
	{
		@gaps_contexts = ();
		my ($text, @row) = statement($standard);
		my $end = $number < $statements ? ';' : pick('', ';', ';;');
		$text .= $end;
		$text .= take_gap() if $number == $statements;
		$sql .= $text;
		push @contexts, [@gaps_contexts];
		push @values, \@row;
	}
	my @all = map { @$_ } @contexts;
	return ($sql,
		map { join('|', expected_context($contexts[$_], \@all),
			@{ $values[$_] }) } 0 .. $statements - 1);
}

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION otel_links');

for my $setting ('on', 'off')
{
  SKIP:
	{
		my $wire = Wire->connect($node, 'postgres', client_encoding => 'UTF8');
		my $accepted = eval { $wire->query("SET standard_conforming_strings = $setting"); 1 };
		skip "standard_conforming_strings = $setting is not to be had in this version",
			1 unless $accepted;
		# the warnings about backslashes, which PostgreSQL 19 no longer has
		$wire->query('SET client_min_messages = error');
		my ($wrong, $contexts) = (0, 0);
		for (1 .. $MESSAGES)
		{
			my ($sql, @expected) = message($setting eq 'on');
			my @rows = eval { $wire->query($sql) };
			$contexts += grep { /^\d/ } @rows;
			next if !$@ && join("\0", @rows) eq join("\0", @expected);
			$wrong++;
			diag("message:\n$sql\ngot: @rows\nexpected: @expected\n$@") if $wrong <= 3;
		}
		is($wrong, 0,
			"$MESSAGES messages with standard_conforming_strings = $setting have their contexts: "
			  . "$contexts contexts (SEED=$seed)");
		$wire->disconnect;
	}
}

$node->stop;
done_testing();
