# A full disk while the exporter settles what a collector took, or sets aside what it refused: no
# span is lost, the status says what is wrong, and export goes on by itself.
#
# The part of the full disk is played by a limit on the size of files (RLIMIT_FSIZE), which
# PostgreSQL takes for one, on the exporter's process alone.  It is higher than a segment of WAL,
# and what the exporter would write to is larger.
use strict;
use warnings;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs prlimit' if system('prlimit --version >/dev/null 2>&1') != 0;

my $receiver = OtelExport->receiver;
my $node = OtelExport::node('main', $receiver, 'otel.retention = 36000',
	'otel.exporter_idle_timeout = 600000');
my $megabytes = 20;
$node->safe_psql('postgres', 'CREATE TABLE work (i int)');

# Spans of about one kilobyte, which is neither compressed nor moved out of the row
sub fill
{
	my ($name, $count) = @_;
	$node->safe_psql('postgres', qq{SELECT count(otel.record_span('$name-' || i, now(),
		attributes => jsonb_build_object('t', (SELECT string_agg(md5(random()::text || i || j), '')
			FROM generate_series(1, 30) j)))) FROM generate_series(1, $count) i});
}

sub limit
{
	my ($bytes) = @_;
	my $pid = OtelExport::status($node, 'exporter_pid');
	system_or_bail('prlimit', "--fsize=$bytes:", '--pid', $pid);
}

my $log = -s $node->logfile;
foreach my $case ([ 'exported_spans', undef ], [ 'failed_spans', { status => 401, times => 0 } ])
{
	my ($table, $answer) = @$case;
	$receiver->answer($answer || ());
	OtelExport::set($node, 'otel.bsp_max_export_batch_size = 65536');
	fill("filler $table", $megabytes * 1000);
	ok(OtelExport::wait_until(sub {
				$node->safe_psql('postgres', 'SELECT otel.force_flush(500)');
				return OtelExport::status($node, 'pending') == 0;
			}, 120), "otel.$table has a large file");
	cmp_ok($node->safe_psql('postgres', "SELECT pg_relation_size('otel.$table')"),
		'>', 17 * 1024 * 1024, "otel.$table is larger than a segment of WAL");
	my $before = OtelExport::status($node, 'exported + failed');

	limit(17 * 1024 * 1024);
	fill("full $table", 200);
	ok(OtelExport::wait_until(sub {
				$node->safe_psql('postgres', 'SELECT otel.force_flush(500)');
				return OtelExport::status($node, 'last_error') =~ /could not extend file/;
			}), "otel.$table on a full disk: last_error says so")
	  or diag(OtelExport::status($node, 'last_error'));
	is($node->safe_psql('postgres', q{INSERT INTO work SELECT 1; SELECT count(*) FROM work}),
		$table eq 'exported_spans' ? 1 : 2, "otel.$table on a full disk: sessions go on");
	$node->safe_psql('postgres', 'SELECT otel.force_flush(4000)');
	is(OtelExport::status($node, 'pending'), 200,
		"otel.$table on a full disk: what could not be settled stays in the queue");
	is(OtelExport::status($node, 'exported + failed'), $before,
		"otel.$table on a full disk: nothing is counted that was not settled");
	is(OtelExport::status($node, 'exporter_running'), 't',
		"otel.$table on a full disk: the exporter stays");

	limit('unlimited');
	ok(OtelExport::wait_until(sub {
				$node->safe_psql('postgres', 'SELECT otel.force_flush(500)');
				return OtelExport::status($node, 'pending') == 0;
			}), "otel.$table: export goes on when there is room again");
	is(OtelExport::status($node, 'exported + failed') - $before, 200,
		"otel.$table: every span is settled once");
	is($node->safe_psql('postgres', "SELECT count(DISTINCT name) FROM otel.$table
		WHERE name LIKE 'full $table-%'"), 200, "otel.$table has every span");
	is(OtelExport::status($node, 'dropped'), 0, "otel.$table: no span is dropped");
}
$receiver->answer();
is(scalar $receiver->span_names(qr/^full exported_spans-/), 200,
	'every span that was recorded while the disk was full has arrived');
my $text = slurp_file($node->logfile, $log);
unlike($text, qr/PANIC/, 'a full disk under the exporter is no PANIC');
cmp_ok(scalar(() = $text =~ /ERROR:  could not extend file/g), '<=', 4,
	'a full disk is not logged with every attempt');
$node->stop;

done_testing();
