# otel.trace_context through COPY: in binary it goes out and in again, and a crafted value is held
# to the grammar; in text what is invalid can be skipped.  (COPY in text and CSV as such:
# sql/trace_context.sql.)
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION otel_links;
	CREATE TABLE items (context otel.trace_context);
});

my $dir = PostgreSQL::Test::Utils::tempdir;
my $file = "$dir/items.bin";
my $header = "PGCOPY\n\377\r\n\0" . pack('N N', 0, 0);
my $trailer = pack('n', 0xffff);
my $trace_id = pack('H*', '4bf92f3577b34da6a3ce929d0e0e4736');
my $span_id = pack('H*', '00f067aa0ba902b7');

# Copies one binary value in; returns its text form, or SQLSTATE and DETAIL.
sub receive
{
	my ($payload) = @_;
	open(my $out, '>:raw', $file) or die "$file: $!";
	print $out $header, pack('n N', 1, length($payload)), $payload, $trailer;
	close($out);

	my ($stdout, $stderr);
	my $status = $node->psql('postgres', qq{
		\\set VERBOSITY verbose
		TRUNCATE items;
		COPY items FROM '$file' (FORMAT binary);
		SELECT context FROM items;
	}, stdout => \$stdout, stderr => \$stderr);
	return $stdout if $status == 0;
	my ($sqlstate) = $stderr =~ /ERROR:  (\w{5}):/;
	my ($detail) = $stderr =~ /DETAIL:  (.*)/;
	return "$sqlstate $detail";
}

# accepted
is(receive("\x01$trace_id$span_id"), '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
	'COPY binary takes flags, trace id and span id');
is(receive("\xff$trace_id${span_id}a=1,b= 2"),
	'00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff;a=1,b= 2',
	'COPY binary keeps all flags and a tracestate');
is(receive("\x00$trace_id$span_id a=1 ,,\ta=2,"),
	'00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00;a=1',
	'COPY binary normalises a tracestate as the text form does');
is(receive("\x00$trace_id$span_id, ,"), '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00',
	'COPY binary takes a tracestate without members for none');

# rejected
my $length = '22P03 It must have 25 bytes (flags, trace-id and parent-id), and may have a'
  . ' tracestate after them.';
my $value = '22P03 A tracestate value must have 1 to 256 characters, which are printable ASCII'
  . ' other than "," and "=".';
my $key = '22P03 A tracestate key must begin with a lower-case letter or a digit and have at most'
  . ' 256 characters, which are lower-case letters, digits, "_", "-", "*", "/" and "@".';
is(receive(''), $length, 'COPY binary refuses an empty value');
is(receive("\x01" . substr("$trace_id$span_id", 0, 23)), $length,
	'COPY binary refuses a value that is one byte too short');
is(receive("\x01" . ("\0" x 16) . $span_id), '22P03 The trace-id must not be all zeros.',
	'COPY binary refuses a trace id of zeros');
is(receive("\x01$trace_id" . ("\0" x 8)), '22P03 The parent-id (span id) must not be all zeros.',
	'COPY binary refuses a span id of zeros');
is(receive("\x01$trace_id${span_id}a=1\0"), $value, 'COPY binary refuses a tracestate with a NUL');
is(receive("\x01$trace_id${span_id}a=\xe2\x82\xac"), $value,
	'COPY binary refuses a tracestate beyond ASCII');
is(receive("\x01$trace_id${span_id}\xff=1"), $key,
	'COPY binary refuses a tracestate in no encoding');
is(receive("\x01$trace_id${span_id}A=1"), $key,
	'COPY binary refuses a tracestate with an invalid key');
is(receive("\x01$trace_id${span_id}a"),
	'22P03 A tracestate member must be a key and a value with "=" between them.',
	'COPY binary refuses a tracestate member without "="');
is(receive("\x01$trace_id$span_id" . join(',', map { "k$_=v" } 1 .. 33)),
	'22P03 A tracestate must have at most 32 members.',
	'COPY binary refuses a tracestate of 33 members');
is(receive("\x01$trace_id$span_id" . ('x' x 100_000)), $key,
	'COPY binary refuses a tracestate of 100,000 bytes');

# out and in again
$node->safe_psql('postgres', q{
	TRUNCATE items;
	INSERT INTO items SELECT otel.from_ids(md5(i::text), right(md5((-i)::text), 16), i % 256,
	                                       CASE WHEN i % 2 = 0
		THEN 'n=' || i || ',m=' || repeat('v', i % 257) END)
	  FROM generate_series(1, 1000) i;
	INSERT INTO items VALUES (NULL);
	CREATE TABLE again (LIKE items);
});
$node->safe_psql('postgres', qq{
	COPY items TO '$file' (FORMAT binary);
	COPY again FROM '$file' (FORMAT binary);
});
is($node->safe_psql('postgres', q{
	SELECT (SELECT count(*) FROM again), count(*), count(context)
	  FROM (SELECT context::text FROM items EXCEPT SELECT context::text
		FROM again) missing(context);
}), '1001|0|0', 'COPY binary out and in again keeps every value');

SKIP:
{
	skip 'COPY skips errors since PostgreSQL 17', 1 if $node->pg_version < 17;
	$node->safe_psql('postgres', q{
TRUNCATE items;
COPY items FROM stdin (ON_ERROR ignore);
00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
nope
00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01;a=
00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01;a=1
\.
});
	is($node->safe_psql('postgres', 'SELECT otel.span_id(context) FROM items'),
		"00f067aa0ba902b7\nb7ad6b7169203331",
		'COPY skips invalid values with ON_ERROR ignore');
}

$node->stop;
done_testing();
