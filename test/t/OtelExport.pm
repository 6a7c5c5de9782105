# OtelExport: a server that exports, and the receiver it exports to.
#
#   my $receiver = OtelExport->receiver;          a process of test/receiver/otlp_receiver.py
#   my $node = OtelExport::node('main', $receiver, 'setting = value', …);
#   $receiver->answer({status => 503}, {…});      how the next requests are answered
#   OtelExport::record($node, 'name', $count);    commits spans name-1 … name-count
#   $receiver->span_names;  $receiver->requests;
package OtelExport;
use strict;
use warnings;
use Carp qw(croak);
use File::Temp;
use IPC::Run;
use Symbol qw(gensym);
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $root = $ENV{TESTDIR} || '.';

# Both programs take --port-file, and end when their standard input is closed: at the latest, with
# this test.
sub start_program
{
	my ($class, $program, @options) = @_;
	my $dir = File::Temp::tempdir(CLEANUP => 1);
	my $self = bless { dir => $dir, stdin => '' }, $class;
	$self->{process} = IPC::Run::start(
		[ "$root/build/venv/bin/python3", "$root/test/receiver/$program", '--port-file',
			"$dir/port", @options,
			'--until-stdin-closes' ],
		'<pipe', $self->{write} = gensym, '>', "$dir/out", '2>', "$dir/err");
	wait_until(sub { -s "$dir/port" }) or die "$program did not start: "
		. PostgreSQL::Test::Utils::slurp_file("$dir/err");
	chomp($self->{port} = PostgreSQL::Test::Utils::slurp_file("$dir/port"));
	return $self;
}

sub receiver
{
	my ($class, @options) = @_;
	my $files = File::Temp::tempdir(CLEANUP => 1);
	my $self = $class->start_program('otlp_receiver.py', '--spans', "$files/spans", '--requests',
		"$files/requests",
		'--answers', "$files/answers", @options);
	$self->{files} = $files;
	return $self;
}

sub stop
{
	my ($self) = @_;
	close $self->{write};
	$self->{process}->finish;
}

sub url { return "http://127.0.0.1:$_[0]->{port}" }

sub answer
{
	my ($self, @answers) = @_;
	my $file = "$self->{files}/answers";
	PostgreSQL::Test::Utils::append_to_file("$file.next",
		join('', map { encode_json($_) . "\n" } @answers));
	rename "$file.next", $file or die "rename: $!";
}

sub lines
{
	my ($file) = @_;
	return map { decode_json($_) } grep { /\}$/ } split /\n/,
		PostgreSQL::Test::Utils::slurp_file($file);
}

sub spans    { return lines("$_[0]->{files}/spans") }
sub requests { return lines("$_[0]->{files}/requests") }

# A member of each span that was received.  Whole lines are not decoded, because there may be too
# many.  The receiver writes the members in its own order: the first of a name is the span's own.
sub members
{
	my ($self, $member) = @_;
	my $text = PostgreSQL::Test::Utils::slurp_file("$self->{files}/spans");
	return map { /"$member": ("(?:[^"\\]|\\.)*")/ ? JSON::PP->new->utf8->allow_nonref->decode($1)
		: () } split /\n/, $text;
}

# The names of the spans that were received, each once, sorted.
sub span_names
{
	my ($self, $like) = @_;
	my %seen = map { $_ => 1 } grep { !defined $like || $_ =~ $like } $self->members('name');
	my @names = sort keys %seen;
	return @names;
}

# How many spans were received more than once.
sub duplicates
{
	my ($self) = @_;
	my %seen;
	$seen{$_}++ foreach $self->members('span_id');
	return scalar grep { $_ > 1 } values %seen;
}

sub node
{
	my ($name, $receiver, @settings) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(allows_streaming => 'logical');
	configure($node, $receiver, @settings);
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION otel_links');
	return $node;
}

sub configure
{
	my ($node, $receiver, @settings) = @_;
	$node->append_conf('postgresql.conf', join("\n",
			'otel.exporter_otlp_endpoint = \'' . $receiver->url . '\'',
			'otel.bsp_schedule_delay = 100', 'autovacuum = off', @settings, ''));
}

# Changes settings without a restart.  When it returns, new sessions have them, and sessions that
# wait for a command have been signalled; the exporter reads them before its next step.
sub set
{
	my ($node, @settings) = @_;
	my $before = $node->safe_psql('postgres', 'SELECT pg_conf_load_time()');
	$node->append_conf('postgresql.conf', join("\n", @settings, ''));
	$node->reload;
	$node->poll_query_until('postgres', "SELECT pg_conf_load_time() <> '$before'")
	  or die 'the server does not reload';
}

# Records spans in one session, each in a transaction of its own.
sub record
{
	my ($node, $name, $count, $database) = @_;
	my $sql = join '',
		map { "SELECT otel.record_span('$name-$_', now()) IS NOT NULL;\n" } 1 .. ($count || 1);
	$node->safe_psql($database || 'postgres', $sql);
}

# Records spans in one transaction, as one batch.
sub record_batch
{
	my ($node, $name, $count, $database) = @_;
	$node->safe_psql($database || 'postgres',
		"SELECT otel.record_span('$name-' || i, now()) FROM generate_series(1, $count) i");
}

sub status
{
	my ($node, $column, $database) = @_;
	return $node->safe_psql($database || 'postgres', "SELECT $column FROM otel.export_status");
}

# Waits until a query returns t; warnings at the session's start do not matter.
sub wait_sql
{
	my ($node, $sql, $database) = @_;
	my $is_true = wait_until(sub {
			# it dies where a server that starts refuses psql before it has read the query
			my ($code, $answer) = eval { $node->psql($database || 'postgres', $sql) };
			return defined $answer && $answer eq 't';
		});
	diag("still not true: $sql") if !$is_true;
	croak 'what the test waits for did not come true' if !$is_true && !defined wantarray;
	return $is_true;
}

sub wait_drained
{
	my ($node, $database) = @_;
	return wait_sql($node, 'SELECT pending = 0 FROM otel.export_status', $database);
}

# All three say whether it came true in time; who does not ask goes on only if it did.
sub wait_until
{
	my ($condition, $seconds) = @_;
	my $end = time + ($seconds || $PostgreSQL::Test::Utils::timeout_default);
	until ($condition->())
	{
		if (time > $end)
		{
			croak 'what the test waits for did not come true' if !defined wantarray;
			return 0;
		}
		sleep 0.02;
	}
	return 1;
}

sub names
{
	my ($name, $count) = @_;
	my @names = sort map { "$name-$_" } 1 .. $count;
	return @names;
}

1;
