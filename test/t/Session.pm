# Session: a psql that runs as long as a test needs it, for sessions that interleave, wait or are
# killed.
#
#   my $session = Session->new($node, 'postgres');
#   is($session->ask('SELECT 1'), '1', '…');    # waits for the answer
#   like($session->told, qr/WARNING/, '…');     # what psql wrote to stderr meanwhile
#   $session->tell('SELECT pg_sleep(60)');      # does not wait; $session->answer does
package Session;
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Utils;

sub new
{
	my ($class, $node, $database, @options) = @_;
	my $self = bless { in => '', out => '', err => '', told => '', asked => 0 }, $class;
	$self->{timer} = IPC::Run::timeout(2 * $PostgreSQL::Test::Utils::timeout_default);
	$self->{psql} = IPC::Run::start(
		[ $node->installed_command('psql'), '-X', '-A', '-t', '-q', '-d', $node->connstr($database),
			@options ],
		'<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err}, $self->{timer});
	$self->{pid} = $self->ask('SELECT pg_backend_pid()');
	return $self;
}

# The server process.
sub pid { return $_[0]->{pid} }

# What psql wrote to stderr with the last answer.
sub told { return $_[0]->{told} }

sub tell
{
	my ($self, $sql) = @_;
	$self->{asked}++;
	$self->{in} .= "$sql\n;\n\\echo =$self->{asked}=\n\\warn =$self->{asked}=\n";
	$self->{psql}->pump_nb;
}

sub answer
{
	my ($self) = @_;
	my $mark = qr/^=$self->{asked}=\n/m;
	$self->{psql}->pump until $self->{out} =~ $mark && $self->{err} =~ $mark;
	my ($answer) = $self->{out} =~ /\A(.*?)$mark/s;
	($self->{told}) = $self->{err} =~ /\A(.*?)$mark/s;
	$self->{out} = $self->{err} = '';
	chomp $answer;
	return $answer;
}

sub ask
{
	my ($self, $sql) = @_;
	$self->tell($sql);
	return $self->answer;
}

# Ends psql, and waits until it has exited.  The server process exits by itself.
sub quit
{
	my ($self) = @_;
	$self->{in} .= "\\q\n";
	eval { $self->{psql}->finish };
}

# The client vanishes.
sub kill
{
	my ($self) = @_;
	$self->{psql}->kill_kill(grace => 0);
}

1;
