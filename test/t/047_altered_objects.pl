# Whoever owns the extension's tables and types may alter them.  That costs spans, which are
# counted, and neither the server nor anybody's transaction.
use strict;
use warnings;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

my $receiver = OtelExport->receiver;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
OtelExport::configure($node, $receiver, q{otel.traces_exporter = 'none'},
	'max_worker_processes = 100',
	q{otel.retention = '1h'}, 'restart_after_crash = off');
$node->start;
$node->safe_psql('postgres', q{
	CREATE ROLE owner LOGIN;
	CREATE ROLE installer SUPERUSER LOGIN;
	CREATE DATABASE ready});
$node->safe_psql('ready', q{
	SET ROLE installer;
	CREATE EXTENSION otel_links;
	RESET ROLE;
	CREATE ACCESS METHOD copied_heap TYPE TABLE HANDLER heap_tableam_handler;
	CREATE TABLE work (id int);
	GRANT ALL ON work TO owner});

my $context = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
my $links = "ARRAY[otel.span_link('$context')]";

# A span that has a link and an event, and a row of the user's
my $work = qq{
	BEGIN;
	INSERT INTO work VALUES (1);
	SELECT otel.start_span('altered', links => $links) IS NOT NULL;
	SELECT otel.add_event('something', '{"a": 1}');
	SELECT otel.end_span();
	COMMIT};

my $databases = 0;

# A database with the extension, in which somebody altered something; the session is older.
sub altered
{
	my ($alter) = @_;
	my $database = 'altered' . ++$databases;
	$node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE ready");
	my $session = Session->new($node, $database);
	$session->ask($work);
	$node->safe_psql($database, $alter);
	return ($database, $session);
}

my $move = 'ALTER TABLE otel.span_queue RENAME TO moved; CREATE';
my $columns = 'LIKE otel.moved INCLUDING ALL';

# What was altered in the queue, and what the warning says of it
my @refused = (
	[ 'ALTER TABLE otel.span_queue ALTER kind TYPE text',
		'Column "kind" is of type text, not smallint' ],
	[ 'ALTER TABLE otel.span_queue ALTER start_time TYPE timestamp',
		'"start_time" is of type timestamp without' ],
	[ 'ALTER TABLE otel.span_queue ALTER name TYPE varchar(30)',
		'Column "name" is of type character varying' ],
	[ 'ALTER TABLE otel.span_queue ALTER attributes TYPE json USING attributes::text::json',
		'Column "attributes" is of type json' ],
	[ 'ALTER TABLE otel.span_queue ALTER links TYPE text[] USING NULL',
		'"links" is of type text\[\], not otel.packed_links' ],
	[ 'ALTER TABLE otel.span_queue ALTER events TYPE text', 'Column "events" is of type' ],
	[ 'CREATE DOMAIN word AS text; ALTER TABLE otel.span_queue ALTER name TYPE word',
		'Column "name" is of type word' ],
	[ 'ALTER TABLE otel.span_queue DROP name', 'Column "name" was dropped' ],
	[ 'ALTER TABLE otel.span_queue DROP links', 'Column "links" was dropped' ],
	[ 'ALTER TABLE otel.span_queue DROP kind, ADD kind int2', 'Column "kind" was dropped' ],
	[ 'ALTER TABLE otel.span_queue ALTER name DROP NOT NULL', 'Column "name" accepts NULL' ],
	[ 'TRUNCATE otel.span_queue; ALTER TABLE otel.span_queue ALTER status_message SET NOT NULL',
		'"status_message" does not accept NULL' ],
	[ 'TRUNCATE otel.span_queue; ALTER TABLE otel.span_queue ADD more int NOT NULL',
		'"more" is new and does not accept NULL' ],
	[ 'ALTER TABLE otel.span_queue ADD twice int GENERATED ALWAYS AS (kind * 2) STORED',
		'"twice" is new and generated' ],
	[ 'CREATE UNIQUE INDEX ON otel.span_queue (start_time)',
		'Index "span_queue_start_time_idx" is unique' ],
	[ 'ALTER TABLE otel.span_queue ADD EXCLUDE USING hash (name WITH =)',
		'Index "span_queue_name_excl" is unique or an exclusion' ],
	[ 'ALTER TABLE otel.span_queue RENAME TO moved', 'not where otel_links created it' ],
	[ 'CREATE SCHEMA other; ALTER TABLE otel.span_queue SET SCHEMA other',
		'not where otel_links created it' ],
	[ "$move VIEW otel.span_queue AS TABLE otel.moved", 'not where otel_links created it' ],
	[ "$move TABLE otel.span_queue ($columns)", 'not where otel_links created it' ],
	[ "$move VIEW otel.span_queue AS TABLE otel.moved;
		ALTER EXTENSION otel_links ADD VIEW otel.span_queue", 'It is not a table' ],
	[ "$move TABLE otel.span_queue ($columns) PARTITION BY RANGE (start_time);
		ALTER EXTENSION otel_links ADD TABLE otel.span_queue", 'It is not a table' ],
	[ "$move TABLE otel.span_queue ($columns) USING copied_heap;
		ALTER EXTENSION otel_links ADD TABLE otel.span_queue", 'access method is not heap' ]);

foreach my $case (@refused)
{
	my ($alter, $says) = @$case;
	my $name = $alter =~ s/\s+/ /gr;
	my ($database, $session) = altered($alter);
	my $dropped = $node->safe_psql($database,
		'SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM otel.dropped_spans');
	$session->ask($work);
	like($session->told,
		qr/^WARNING:  spans are dropped: table "otel.span_queue" was altered\nDETAIL:  .*$says/m,
		"$name: COMMIT says so");
	$session->ask($work);
	is($session->told, '', "$name: the second COMMIT does not say it again");
	is($node->safe_psql($database, 'SELECT count(*) FROM work'), 3,
		"$name: the work is committed");
	is($node->safe_psql($database, 'SELECT last_value FROM otel.dropped_spans') - $dropped, 2,
		"$name: the spans count as dropped");
	$session->quit;
}

# What does no harm
foreach my $alter ('ALTER TABLE otel.span_queue RENAME kind TO sort',
	'ALTER TABLE otel.span_queue ADD more text DEFAULT 5',
	'ALTER TABLE otel.span_queue ADD more text; ALTER TABLE otel.span_queue DROP more',
	'ALTER TABLE otel.span_queue SET UNLOGGED',
	'ALTER TABLE otel.span_queue ALTER attributes SET STORAGE PLAIN; VACUUM FULL otel.span_queue',
	'ALTER TABLE otel.span_queue ADD CHECK (kind > 100) NOT VALID',
	'ALTER TABLE otel.span_queue ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY',
	'ALTER TYPE otel.span_link ADD ATTRIBUTE a int, ADD ATTRIBUTE b text, ADD ATTRIBUTE c text',
	'ALTER TYPE otel.span_event ADD ATTRIBUTE a int, ADD ATTRIBUTE b text, ADD ATTRIBUTE c text',
	'ALTER TYPE otel.span_link RENAME ATTRIBUTE attributes TO properties',
	'CREATE TABLE child () INHERITS (otel.span_queue)')
{
	my ($database, $session) = altered($alter);
	$session->ask($work);
	is($session->told, '', "$alter: spans are queued as before");
	is($node->safe_psql($database, 'SELECT count(*) FROM otel.span_queue'), 2,
		"$alter: all spans are queued");
	$session->quit;
}

# A type of which links or events can no longer be made
{
	my ($database, $session) = altered('ALTER TYPE otel.span_event DROP ATTRIBUTE name');
	$session->ask($work);
	like($session->told, qr/spans could not be queued: type "otel.span_event" was altered/,
		'an attribute of span_event dropped: COMMIT says so');
	is($node->safe_psql($database, 'SELECT count(*) FROM work'), 2,
		'an attribute of span_event dropped: the work is committed');
	$session->quit;

	($database, $session) = altered('ALTER TYPE otel.span_link DROP ATTRIBUTE attributes');
	my $array = "ARRAY[ROW('$context')::otel.span_link]";
	$session->ask("SELECT otel.start_span('x', links => $array) IS NOT NULL");
	like($session->told, qr/WARNING:  links are left out: type "otel.span_link" was altered/,
		'an attribute of span_link dropped: a span starts without links');
	foreach my $query ("SELECT otel.span_link('$context')",
		"SELECT otel.link_agg('$context'::otel.trace_context)",
		"SELECT * FROM otel.span_links($array)",
		"SELECT otel.links_json($array)")
	{
		my (undef, undef, $error) = $node->psql($database, $query);
		like($error,
			qr/ERROR:  type "otel.span_link" was altered\nDETAIL:  Column "attributes" was dropped/,
			"$query is refused by name");
	}
	$session->quit;
}

{
	my ($database, $session) = altered('ALTER TYPE otel.span_link RENAME TO linked');
	my (undef, undef, $error) = $node->psql($database,
		"SELECT otel.link_agg('$context'::otel.trace_context)");
	like($error, qr/type "otel.span_link" does not exist/,
		'span_link renamed: link_agg() names what it misses');
	$session->quit;
}

# Sequences
foreach my $alter ('ALTER SEQUENCE otel.dropped_spans RENAME TO moved;
	CREATE TABLE otel.dropped_spans AS SELECT 1 AS last_value',
	'ALTER SEQUENCE otel.exporter_start_failures RENAME TO moved;
		CREATE VIEW otel.exporter_start_failures AS SELECT 1 AS last_value')
{
	my ($database, $session) = altered("$alter; ALTER TABLE otel.span_queue ALTER kind TYPE text");
	$session->ask($work);
	like($session->told, qr/spans are dropped/, "$alter: COMMIT warns");
	is($node->safe_psql($database, 'SELECT count(*) FROM work'), 2,
		"$alter: the work is committed");
	$session->quit;
}

# In the transaction that records, and by somebody without superuser rights
{
	my ($database, $session) = altered('REASSIGN OWNED BY installer TO owner');
	my $owner = Session->new($node, $database, '-U', 'owner');
	$owner->ask('BEGIN');
	$owner->ask("INSERT INTO work VALUES (1); SELECT otel.record_span('before', now())");
	$owner->ask('ALTER TABLE otel.span_queue ALTER kind TYPE text');
	$owner->ask('COMMIT');
	like($owner->told, qr/spans are dropped.*Column "kind" is of type/s,
		'an owner who is no superuser alters the queue in the recording transaction');
	is($node->safe_psql($database, 'SELECT count(*) FROM work'), 2,
		'a transaction that alters the queue itself commits');
	$owner->ask(q{ALTER TABLE otel.span_queue ALTER kind TYPE int2 USING kind::int2});
	$owner->ask("SELECT otel.record_span('after', now())");
	is($owner->told, '', 'after the change is undone, spans are queued again');
	is($node->safe_psql($database, q{SELECT string_agg(name, ' ') FROM otel.span_queue}),
		'altered after', 'spans are queued that were recorded since the change was undone');
	$owner->quit;
	$session->quit;
}

# What SQL asks of the exporter
foreach my $case ([ 'SELECT otel.force_flush(1)', 'span_queue', 'ALTER kind TYPE text' ],
	[ 'SELECT otel.force_flush(1)', 'exporter_state', 'ALTER exported DROP NOT NULL' ],
	[ 'SELECT otel.retry_failed()', 'failed_spans', 'DROP error' ], [ 'SELECT otel.retry_failed()',
		'span_queue', 'DROP name' ])
{
	my ($query, $table, $alter) = @$case;
	my ($database, $session) = altered("ALTER TABLE otel.$table $alter");
	$session->quit;
	my (undef, undef, $error) = $node->psql($database, "SET otel.traces_exporter = 'otlp'; $query");
	like($error, qr/table "otel.$table" was altered\nDETAIL:.*\nHINT:/,
		"$query refuses $table by name");
}

# The exporter.  Each database has a span that waits.
my %status = map { (altered($_->[0]))[0] => $_ } (
	[ 'ALTER TABLE otel.span_queue ALTER kind TYPE text', 'table "otel.span_queue" was altered' ],
	[ 'ALTER TABLE otel.span_queue DROP origin_system', 'table "otel.span_queue" was altered' ],
	[ 'ALTER TABLE otel.span_queue DROP links', 'table "otel.span_queue" was altered' ],
	[ 'ALTER TYPE otel.span_event DROP ATTRIBUTE "time"', 'type "otel.span_event" was altered' ],
	[ 'ALTER TABLE otel.exported_spans ALTER exported_at TYPE text',
		'table "otel.exported_spans" was altered' ]);
my ($unnoted, $unsettled) = map { (altered("ALTER TABLE otel.exporter_state $_"))[0] }
  'ALTER exported DROP NOT NULL', 'ALTER last_success SET NOT NULL';
my @sent = map { (altered($_))[0] } (
	'ALTER TYPE otel.span_link DROP ATTRIBUTE attributes',		# the queue's links are packed
	'ALTER TYPE otel.span_event ADD ATTRIBUTE a int, ADD ATTRIBUTE b text, ADD ATTRIBUTE c text',
	'ALTER TABLE otel.exported_spans ADD note text; ALTER TABLE otel.exporter_state ADD note text');

$node->append_conf('postgresql.conf',
	"otel.traces_exporter = 'otlp'\nshared_preload_libraries = 'otel_links'\n");
my $offset = -s $node->logfile;
$node->restart;
foreach my $database (sort keys %status)
{
	my ($alter, $error) = @{ $status{$database} };
	ok(OtelExport::wait_sql($node,
		qq{SELECT last_error ~ '$error' AND exporter_running FROM otel.export_status}, $database),
		"$alter: the exporter stays, and the status says what is wrong");
}
foreach my $database (@sent)
{
	ok(OtelExport::wait_drained($node, $database),
		"$database: what was altered is in nobody's way");
	my ($span) = grep { $_->{resource}{attributes}{'db.namespace'} eq $database } $receiver->spans;
	is(scalar @{ $span->{links} }, 1, "$database: the link arrives");
	is(scalar @{ $span->{events} }, 1, "$database: the event arrives");
}
ok(OtelExport::wait_until(sub { slurp_file($node->logfile,
	$offset) =~ /table "otel.exporter_state" was altered/ }),
	'an altered state of the exporter is in the log');
is($node->safe_psql('postgres', qq{
		SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'otel_links exporter' AND datname IN ('$unnoted', '$unsettled')}),
	2, 'an altered state of the exporter ends no exporter');
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC/, 'the server never crashed');
$node->stop;

done_testing();
