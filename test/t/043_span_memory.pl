# What spans cost a session's memory: nothing once they are queued, and a bounded amount before.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use lib 'test/t';
use Session;

use constant MB => 1024 * 1024;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf',
	"otel.traces_exporter = none\nfsync = off\nmax_wal_size = 2GB\nsynchronous_commit = off\n");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION otel_links;
	CREATE VIEW memory AS SELECT sum(total_bytes)::bigint FROM pg_backend_memory_contexts;
	-- starts and ends n spans, with all that a span can have, a transaction for each hundred
	CREATE PROCEDURE work(n int) LANGUAGE plpgsql AS $$
	DECLARE
		links otel.span_link[] := ARRAY[otel.span_link(
			'00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', '{"a": 1}')];
	BEGIN
		FOR i IN 1 .. n LOOP
			PERFORM otel.start_span('work', links, attributes => '{"a": 1}');
			IF i % 10 = 0 THEN
				PERFORM otel.set_attributes('{"b": 2}'), otel.add_event('e', '{"c": 3}'),
					otel.add_links(links), otel.update_name('worked');
			END IF;
			PERFORM otel.end_span('error', 'message');
			IF i % 100 = 0 THEN COMMIT; END IF;
		END LOOP;
	END $$;
});

my $session = Session->new($node, 'postgres');
sub memory { return $session->ask('TABLE memory') }

# ---- a million spans, over many transactions ----
$session->ask('CALL work(10000)');
my $before = memory();
$session->ask('CALL work(1000000)');
my $growth = memory() - $before;
cmp_ok($growth, '<', MB,
	"a million spans in a session leave its memory as it is ($growth bytes more)");
is($node->safe_psql('postgres', 'SELECT count(*) FROM otel.span_queue'), '1010000',
	'all are queued');
$node->safe_psql('postgres', 'TRUNCATE otel.span_queue');

# ---- and in one transaction ----
$before = memory();
$session->ask(q{BEGIN;
	SELECT count(otel.record_span('one of many', now())) FROM generate_series(1, 300000)});
$growth = memory() - $before;
cmp_ok($growth, '<', 32 * MB,
	"300,000 spans in one transaction are not kept in memory ($growth bytes more)");
$session->ask('COMMIT');
is($node->safe_psql('postgres', 'SELECT count(*) FROM otel.span_queue'), '300000',
	'all are queued');
$node->safe_psql('postgres', 'TRUNCATE otel.span_queue');

# ---- few and large ----
$before = memory();
my $most = $session->ask(q{BEGIN;
	CREATE TEMPORARY TABLE most AS SELECT 0::bigint AS bytes;
	DO $$ DECLARE links otel.span_link[] := (SELECT otel.link_agg(otel.from_ids(md5(i::text),
		lpad(to_hex(i), 16, '0'), 1)) FROM generate_series(1, 20000) i);
	BEGIN
		FOR i IN 1 .. 300 LOOP
			PERFORM otel.record_span('large', now(), links => links);
			UPDATE most SET bytes = greatest(bytes, (TABLE memory)) WHERE i % 25 = 0;
		END LOOP;
	END $$;
	SELECT bytes FROM most}) - $before;
cmp_ok($most, '<', 128 * MB,
	"spans with 20,000 links each are not kept in memory by the hundred ($most bytes at most)");
$session->ask('ROLLBACK; BEGIN; COMMIT');
$growth = memory() - $before;
cmp_ok($growth, '<', MB,
	"after a rollback the next transaction takes what is left ($growth bytes more)");
$node->safe_psql('postgres', 'TRUNCATE otel.span_queue');

# ---- spans that nobody ends ----
$before = memory();
$session->ask(q{SELECT count(otel.start_span('never ended', scope => 'session'))
	FROM generate_series(1, 100000)});
like($session->told, qr/\AWARNING:  ending span "never ended": the session has 1000 spans open\n/,
	'a session that never ends its spans is warned');
is(() = $session->told =~ /WARNING/g, 1, 'the warning about spans that are never ended comes once');
$growth = memory() - $before;
cmp_ok($growth, '<', 16 * MB,
	"spans that are never ended take bounded memory ($growth bytes more)");
is($node->safe_psql('postgres', 'SELECT count(*) FROM otel.span_queue'), '99000',
	'the oldest of the spans that are never ended are ended and queued');
$session->ask('RESET ALL');
is($node->safe_psql('postgres', 'SELECT count(*) FROM otel.span_queue'), '100000',
	'none of the spans that are never ended is lost');

# ---- one span, changed all the time ----
$session->ask(q{SELECT otel.start_span('long', scope => 'session') IS NOT NULL});
my $change = q{DO $$ BEGIN FOR i IN 1 .. 100000 LOOP
	PERFORM otel.set_attributes(jsonb_build_object('i', i, 'text', repeat('x', i % 1000))),
		otel.add_event('event ' || i, jsonb_build_object('i', i)),
		otel.set_status('error', repeat('y', i % 100)), otel.update_name('name ' || i);
	END LOOP; END $$};
$session->ask($change);
$before = memory();
$session->ask($change);
$growth = memory() - $before;
cmp_ok($growth, '<', MB / 2,
	"a span that is changed 100,000 times does not grow ($growth bytes more)");
$session->ask('SELECT otel.end_span()');

# ---- more attributes than a span may have, on one that has some ----
$session->ask(q{BEGIN; SELECT otel.start_span('full', attributes => '{"a": 1}') IS NOT NULL});
$before = memory();
$growth = $session->ask(q{SELECT otel.set_attributes(many), (TABLE memory)
	FROM (SELECT jsonb_object_agg('k' || i, i) FROM generate_series(1, 3000) i) o (many)})
	=~ s/^\|//r - $before;
cmp_ok($growth, '<', 16 * MB,
	"3,000 attributes of which 127 have room are gone through once ($growth bytes more)");
$session->ask('COMMIT');

# ---- a job of many statements ----
$session->ask('CREATE TABLE seen (bytes bigint)');
$before = memory();
$session->ask(q{CALL otel.trace_job('many statements',
	repeat('SELECT 1;', 20000) || 'INSERT INTO seen TABLE memory')});
$growth = $session->ask('TABLE seen') - $before;
cmp_ok($growth, '<', 64 * MB,
	"a job keeps nothing of its 20,000 statements but their parse trees ($growth bytes more)");

# ---- subtransactions that fail ----
my $fail = q{DO $$ BEGIN FOR i IN 1 .. 20000 LOOP
	BEGIN PERFORM otel.start_span('fails', attributes => '{"a": 1}'); PERFORM 1 / (i - i);
		EXCEPTION WHEN division_by_zero THEN PERFORM otel.discard_span(); END;
	END LOOP; END $$};
$session->ask($fail);
$before = memory();
$session->ask($fail);
$growth = memory() - $before;
cmp_ok($growth, '<', MB / 2, "20,000 spans that are discarded leave nothing ($growth bytes more)");

# ---- starts that raise an error ----
my $strict = q{SET otel.strict = on; DO $$ BEGIN FOR i IN 1 .. 20000 LOOP
	BEGIN PERFORM otel.start_span('strict', attributes => '[1]');
		EXCEPTION WHEN invalid_parameter_value THEN NULL; END;
	END LOOP; END $$; RESET otel.strict};
$session->ask($strict);
$before = memory();
$session->ask($strict);
$growth = memory() - $before;
cmp_ok($growth, '<', MB / 2, "20,000 starts that fail leave nothing ($growth bytes more)");

$session->quit;
$node->stop;
done_testing();
