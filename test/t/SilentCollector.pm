# SilentCollector: takes requests and never answers, so that an exporter is in the middle of a POST
# for as long as a test needs it to be.
#
#   my $collector = SilentCollector->new;
#   OtelExport::… $collector->url …
#   my $body = $collector->request;     waits for the next request and reads it whole
#   ok($collector->hung_up);            has the exporter closed that connection?
package SilentCollector;
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use PostgreSQL::Test::Utils;

sub new
{
	my ($class) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 8) or die "listen: $!";
	return bless { listener => $listener }, $class;
}

sub url { return 'http://127.0.0.1:' . $_[0]->{listener}->sockport }

sub readable
{
	my ($handle) = @_;
	return IO::Select->new($handle)->can_read($PostgreSQL::Test::Utils::timeout_default);
}

sub request
{
	my ($self) = @_;
	my $data = '';
	readable($self->{listener}) or die 'no request came';
	$self->{connection} = $self->{listener}->accept or die "accept: $!";
	until ($data =~ /^content-length: *(\d+)\r\n(?:.+\r\n)*\r\n/im && length($data) >= $+[0] + $1)
	{
		readable($self->{connection}) && sysread($self->{connection}, $data, 65536, length $data)
		  or die 'the request is not whole';
	}
	return substr($data, $+[0]);
}

sub hung_up
{
	my ($self) = @_;
	return readable($self->{connection}) && !sysread($self->{connection}, my $data, 1);
}

1;
