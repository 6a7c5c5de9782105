# Wire: a client that sends exactly the protocol messages that a test names (PostgreSQL's
# documentation, "Message Formats"); libpq and the drivers above it choose them by themselves.  It
# connects by Unix sockets, with trust authentication.
#
#   my $wire = Wire->connect($node, 'postgres', options => '-c otel.traceparent=…');
#   $wire->query('SELECT 1');                      # simple protocol
#   $wire->send(parse => ['s1', $sql], bind => ['', 's1', 'x'], execute => [''], 'sync' => []);
#   $wire->receive;                                # up to ReadyForQuery; dies on an error
package Wire;
use strict;
use warnings;
use IO::Socket::UNIX;
use Socket qw(SOCK_STREAM);

sub connect
{
	my ($class, $node, $database, %parameters) = @_;
	my $user = getpwuid($>);
	my $path = $node->host . '/.s.PGSQL.' . $node->port;
	my $socket = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $path) or die "$path: $!";
	my $self = bless { socket => $socket }, $class;
	my $body = pack('N', 3 << 16)
	  . join('', map { "$_\0" } 'user', $user, 'database', $database, %parameters) . "\0";
	$self->_write(pack('N', 4 + length $body) . $body);
	$self->receive;
	return $self;
}

sub _write
{
	my ($self, $bytes) = @_;
	while (length $bytes)
	{
		my $n = syswrite($self->{socket}, $bytes) or die "write: $!";
		substr($bytes, 0, $n, '');
	}
}

sub _read
{
	my ($self, $n) = @_;
	my $bytes = '';
	while (length $bytes < $n)
	{
		sysread($self->{socket}, $bytes, $n - length $bytes, length $bytes)
		  or die 'connection lost';
	}
	return $bytes;
}

# name => how its arguments become a message
my %messages = (
	query => sub { ('Q', "$_[0]\0") },
	parse => sub { my ($name, $sql) = @_; ('P', "$name\0$sql\0" . pack('n', 0)) },
	bind => sub {
		my ($portal, $statement, @values) = @_;
		('B', "$portal\0$statement\0" . pack('n', 0) . pack('n', scalar @values)
			  . join('', map { pack('N', length $_) . $_ } @values) . pack('n', 0));
	},
	execute => sub { my ($portal, $rows) = @_; ('E', "$portal\0" . pack('N', $rows // 0)) },
	close_statement => sub { ('C', "S$_[0]\0") },
	close_portal => sub { ('C', "P$_[0]\0") },
	describe => sub { ('D', "S$_[0]\0") },
	flush => sub { ('H', '') },
	sync => sub { ('S', '') });

# Sends messages in one go, as a pipeline does.
sub send
{
	my ($self, @calls) = @_;
	my $bytes = '';
	while (my ($name, $arguments) = splice(@calls, 0, 2))
	{
		my ($type, $body) = $messages{$name}->(@$arguments);
		$bytes .= $type . pack('N', 4 + length $body) . $body;
	}
	$self->_write($bytes);
}

# Reads up to ReadyForQuery.  Returns the rows, the values of each joined by "|".
sub receive
{
	my ($self) = @_;
	my (@rows, $error);
	for (;;)
	{
		my ($type, $length) = unpack('a1 N', $self->_read(5));
		my $body = $self->_read($length - 4);
		if ($type eq 'E')
		{
			($error) = $body =~ /\0M([^\0]*)/;
		}
		elsif ($type eq 'D')
		{
			my ($n, @values, $pos) = (unpack('n', $body));
			$pos = 2;
			for (1 .. $n)
			{
				my $size = unpack('l>', substr($body, $pos, 4));
				push @values, $size < 0 ? '' : substr($body, $pos + 4, $size);
				$pos += 4 + ($size > 0 ? $size : 0);
			}
			push @rows, join('|', @values);
		}
		last if $type eq 'Z';
		die "server: $error" if defined $error && !defined $self->{ready};
	}
	$self->{ready} = 1;
	die "server: $error" if defined $error;
	return @rows;
}

sub query
{
	my ($self, $sql) = @_;
	$self->send(query => [$sql]);
	return $self->receive;
}

# Sends, syncs and receives.
sub run
{
	my ($self, @calls) = @_;
	$self->send(@calls, 'sync' => []);
	return $self->receive;
}

sub disconnect
{
	my ($self) = @_;
	$self->_write("X\0\0\0\4");
	close $self->{socket};
}

1;
