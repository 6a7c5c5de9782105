# Payloads that have room for no context, of almost 1 GB and of 8 million keys: they stay as they
# are.  Only with TEST_FULL=1, since they need two minutes and 4 GB of memory.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs 4 GB of memory; TEST_FULL=1 runs it' unless $ENV{TEST_FULL};

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;
# the second trigger says what the first made of the row, and stores nothing
$node->safe_psql('postgres', q{
	CREATE EXTENSION otel_links;
	CREATE TABLE jobs (t text, b jsonb);
	CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			RAISE NOTICE 'text of %, % keys', octet_length(NEW.t),
				(SELECT count(*) FROM jsonb_object_keys(NEW.b));
			RETURN NULL;
		END $$;
	CREATE TRIGGER tell BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION tell();
	SELECT otel.capture_into('jobs', 't'), otel.capture_into('jobs', 'b');
});

# What becomes of a payload: the two numbers, or the error.
sub becomes
{
	my ($values) = @_;
	my ($status, $out, $err) = $node->psql('postgres', "INSERT INTO jobs $values"
		  . " /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'"
		  . ",tracestate='a=1'*/");
	return $err =~ /text of (\S+), (\d+) keys/ ? "$1 $2" : $err;
}

sub of_text
{
	my ($length) = @_;
	return "SELECT '{\"a\":\"' || repeat('x', $length - 8) || '\"}', '{}'";
}

sub of_keys
{
	my ($count) = @_;
	return "SELECT '{}', ('{' || string_agg('\"' || i || '\":1', ',') || '}')::jsonb"
	  . " FROM generate_series(1, $count) i";
}

my $room = 1024 * 1024 * 1024;
my $added = length '"traceparent":"' . '0' x 55 . '","tracestate":"a=1"';
is(becomes(of_text(1_000_000_000)), (1_000_000_001 + $added) . ' 2',
	'a text of 1,000,000,000 bytes has room for a context');
is(becomes(of_text($room - $_)), $room - $_ . ' 0',
	"a row with a text of $_ bytes less than 1 GB stays as it is")
  for 300, 150;
is(becomes(of_keys(7_999_999)), (2 + $added) . ' 8000001',
	'an object of 7,999,999 keys has room for a context');
is(becomes(of_keys(8_388_607)), (2 + $added) . ' 8388607',
	'an object of as many keys as PostgreSQL can handle stays as it is');

done_testing();
