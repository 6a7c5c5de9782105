# Whom the exporter makes way for, and what starts it where no session does.
use strict;
use warnings;
use OtelExport;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SilentCollector;
use Test::More;
use Time::HiRes qw(time);

my $receiver = OtelExport->receiver;
my $silent = SilentCollector->new;
my $node = OtelExport::node('main', $receiver, 'log_min_messages = debug1',
	'max_worker_processes = 12',
	'otel.exporter_idle_timeout = 600000');
my %url = (
	'at rest' => $receiver->url,
	'in a request' => $silent->url,
	'backing off' => 'http://127.0.0.1:1');

# A database with an exporter in that state
sub create
{
	my ($database, $state) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database,
		"CREATE EXTENSION otel_links;
		ALTER DATABASE $database SET otel.exporter_otlp_endpoint = '$url{$state}'");
	OtelExport::record($node, $database, 1, $database);
	return $silent->request if $state eq 'in a request';
	return OtelExport::wait_drained($node, $database) if $state eq 'at rest';
	return OtelExport::wait_sql($node, 'SELECT last_error IS NOT NULL FROM otel.export_status',
		$database);
}

sub seconds
{
	my ($sql) = @_;
	my $began = time;
	$node->safe_psql('postgres', $sql);
	return time - $began;
}

# An exporter looks every half second; on a busy machine the best of three counts.
sub within_two_seconds
{
	my ($what, $state, $prepare, $sql) = @_;
	my $best = 10;
	foreach my $try (1 .. 3)
	{
		$prepare->($try);
		my $took = seconds($sql);
		$best = $took if $took < $best;
		last if $best < 2;
	}
	cmp_ok($best, '<', 2, "$what within two seconds, while the exporter is $state");
}

foreach my $state (sort keys %url)
{
	within_two_seconds('DROP DATABASE', $state, sub { create('dropped', $state) },
		'DROP DATABASE dropped');
	create('original', $state);
	my $tries = 0;
	within_two_seconds('CREATE DATABASE … TEMPLATE', $state,
		sub { $node->safe_psql('postgres', 'DROP DATABASE copy') if $tries++ },
			'CREATE DATABASE copy TEMPLATE original');
	$node->safe_psql('postgres',
		"ALTER DATABASE original SET otel.exporter_otlp_endpoint = '" . $receiver->url . q{'});
	ok(OtelExport::wait_drained($node, 'original'),
		"the original of a copy exports what waits, although no span was recorded since ($state)");
	OtelExport::record($node, 'copy', 1, 'copy');
	ok(OtelExport::wait_drained($node, 'copy'), "a copy exports what is recorded in it ($state)");
	is(OtelExport::status($node, 'failed', 'copy'), $state eq 'at rest' ? 0 : 1,
		"a copy sets aside what its template had queued ($state)");
	$node->safe_psql('postgres', "DROP DATABASE $_") foreach qw(copy original);
}
is_deeply([ map { $_->{resource}{attributes}{'db.namespace'} }
	grep { $_->{name} eq 'original-1' } $receiver->spans ],
	[ ('original') x 3 ], 'no span was exported by a copy');

create('renamed', 'backing off');
within_two_seconds('ALTER DATABASE … RENAME', 'backing off',
	sub { create('renamed', 'backing off') if $_[0] > 1 },
	'ALTER DATABASE renamed RENAME TO new_name');

# While a backlog leaves, request by request, in 20 seconds at the fastest
$node->safe_psql('postgres', 'CREATE DATABASE busy');
$node->safe_psql('busy',
	'CREATE EXTENSION otel_links; ALTER DATABASE busy SET otel.bsp_max_export_batch_size = 1;
	ALTER DATABASE busy SET otel.exporter_idle_timeout = 0');
$receiver->answer({ delay => 0.05, times => 0 });

# The exporter is at it when it has sent some more.
sub at_work
{
	my $sent = $receiver->requests;
	return OtelExport::wait_until(sub { $receiver->requests > $sent + 5 });
}

OtelExport::record_batch($node, 'busy', 400, 'busy');
at_work();
OtelExport::set($node, 'otel.traces_exporter = none');
ok(OtelExport::wait_sql($node, 'SELECT NOT exporter_running FROM otel.export_status', 'busy'),
	'an exporter at work sees a reload: with otel.traces_exporter = none it leaves');
cmp_ok(OtelExport::status($node, 'pending', 'busy'), '>', 200,
	'an exporter leaves long before all is sent');
OtelExport::set($node, 'otel.traces_exporter = otlp');
OtelExport::record_batch($node, 'busy again', 400, 'busy');
at_work();
is($node->psql('postgres', 'DROP DATABASE busy'), 0,
	'an exporter at work makes way for DROP DATABASE');
$receiver->answer;

# Where the bootstrap superuser may not log in
my $bootstrap = $node->safe_psql('postgres', 'SELECT current_user');
$node->safe_psql('postgres', 'CREATE ROLE admin SUPERUSER LOGIN; CREATE DATABASE locked');
$node->safe_psql('locked', qq{CREATE EXTENSION otel_links; ALTER ROLE "$bootstrap" NOLOGIN});
$node->safe_psql('locked', q{SELECT otel.record_span('without a login', now())},
	extra_params => [ '-U', 'admin' ]);
ok(OtelExport::wait_until(sub { $receiver->span_names(qr/^without a login$/) }),
	'the exporter does not ask whether its role may log in');
$node->safe_psql('postgres', qq{ALTER ROLE "$bootstrap" LOGIN}, extra_params => [ '-U', 'admin' ]);
$node->safe_psql('postgres', 'DROP DATABASE locked');

# A worker whose database is gone
my $offset = -s $node->logfile;
create('forced', 'in a request');
cmp_ok(seconds('DROP DATABASE forced WITH (FORCE)'), '<', 5,
	'DROP DATABASE … FORCE ends the exporter');
ok(OtelExport::wait_until(sub {
			slurp_file($node->logfile, $offset) =~
				/FATAL:[ ]{2}database[ ]\d+[ ]does[ ]not[ ]exist.*
				unregistering[ ]background[ ]worker[ ]"otel_links[ ]exporter"/sx
		}), 'an exporter whose database is gone is started once more and then forgotten');

# The launcher
$node->safe_psql('postgres',
	"ALTER DATABASE new_name SET otel.exporter_otlp_endpoint = '" . $receiver->url . q{'});
$node->safe_psql('postgres', "CREATE DATABASE $_") foreach qw(empty without closed);
$node->safe_psql($_, 'CREATE EXTENSION otel_links') foreach qw(empty closed);
$node->safe_psql('postgres', "ALTER DATABASE $_ SET otel.traces_exporter = none")
  foreach qw(postgres closed);
OtelExport::record($node, "waiting in $_", 2, $_) foreach qw(postgres closed new_name);
$node->safe_psql('postgres', 'ALTER DATABASE closed ALLOW_CONNECTIONS false');
$node->stop('immediate');
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'otel_links'\notel.exporter_idle_timeout = 0");
$offset = -s $node->logfile;
$node->start;
ok(OtelExport::wait_until(sub { $receiver->span_names(qr/^waiting in new_name/) == 2 }),
	'with shared_preload_libraries what waits is exported after a start');
ok(OtelExport::wait_sql($node,
	q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'otel_links %'}),
	'launcher and exporters leave when the queues are drained');
is(scalar($receiver->span_names(qr/^waiting in (postgres|closed)/)), 0,
	'the launcher exports no spans that are held back');
is(OtelExport::status($node, 'pending'), 2, 'spans that are held back stay in the queue');
unlike(slurp_file($node->logfile, $offset), qr/(ERROR|PANIC): /,
	'the launcher\'s start leaves no error in the log');

done_testing();
