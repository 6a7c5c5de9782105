# Four job runners share a queue of 10,000 rows by FOR UPDATE SKIP LOCKED, a batch to a transaction
# and a span to a batch.  Every row is linked by exactly one batch span.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

use constant { ROWS => 10_000, RUNNERS => 4, BATCH => 100, GATE => 4711 };

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "otel.traces_exporter = none\n");
$node->start;

$node->safe_psql('postgres', <<'EOSQL');
CREATE EXTENSION otel_links;

-- ten rows to a trace, each from a span of its own
CREATE TABLE report_request (
    id             int PRIMARY KEY,
    state          text NOT NULL DEFAULT 'pending',
    trace_context  otel.trace_context NOT NULL
);
INSERT INTO report_request
SELECT i, 'pending', otel.from_ids(md5((i / 10)::text), lpad(to_hex(i), 16, '0'), 1)
  FROM generate_series(1, 10000) AS i;

-- Works until every row left is somebody else's.  With its first batch claimed it waits at the
-- gate.
CREATE PROCEDURE make_reports(runner int, batch_size int, gate int) LANGUAGE plpgsql AS $$
DECLARE
    claimed int[];
    links   otel.span_link[];
BEGIN
    LOOP
        WITH claim AS (
            SELECT id, trace_context FROM report_request WHERE state = 'pending'
             ORDER BY id LIMIT batch_size FOR UPDATE SKIP LOCKED)
        SELECT array_agg(id), otel.link_agg(trace_context ORDER BY id)
          INTO claimed, links FROM claim;
        EXIT WHEN claimed IS NULL;
        PERFORM otel.start_span('make_reports', links,
            attributes => jsonb_build_object(
                'runner', runner, 'messaging.batch.message_count', cardinality(claimed)));
        PERFORM pg_advisory_xact_lock_shared(gate);
        UPDATE report_request SET state = 'done' WHERE id = ANY (claimed);
        PERFORM otel.end_span('ok');
        COMMIT;
    END LOOP;
END $$;
EOSQL

# A session that keeps the gate shut.
my $keeper = Session->new($node, 'postgres');
$keeper->ask("SELECT pg_advisory_lock(${\GATE})");

my @runners = map { Session->new($node, 'postgres') } 1 .. RUNNERS;
foreach my $i (0 .. $#runners)
{
	$runners[$i]->tell("CALL make_reports($i, ${\BATCH}, ${\GATE})");
}
ok( $node->poll_query_until(
		'postgres',
		"SELECT count(*) = ${\RUNNERS} FROM pg_locks
		  WHERE locktype = 'advisory' AND objid = ${\GATE} AND NOT granted"),
	'all runners hold a batch at the same time');

$keeper->ask("SELECT pg_advisory_unlock(${\GATE})");
foreach my $i (0 .. $#runners)
{
	$runners[$i]->answer;
	is($runners[$i]->told, '', 'runner ' . ($i + 1) . ' ends without an error');
}

is($node->safe_psql('postgres', "SELECT count(*) FROM report_request WHERE state = 'done'"),
	ROWS, 'four job runners process all rows');
is( $node->safe_psql('postgres',
	"SELECT count(DISTINCT attributes -> 'runner') FROM otel.span_queue"),
	RUNNERS,
	'every runner has recorded spans');
is( $node->safe_psql(
		'postgres',
		"SELECT count(DISTINCT otel.span_id(context)) = count(*),
		        sum((attributes ->> 'messaging.batch.message_count')::int),
		        sum(cardinality(links::otel.span_link[]))
		   FROM otel.span_queue"
	),
	sprintf('t|%d|%d', ROWS, ROWS),
	'there is one span for each batch and one link for each row');
is( $node->safe_psql(
		'postgres', <<'EOSQL'),
SELECT count(*), count(DISTINCT id), bool_and(batches = 1)
  FROM (SELECT r.id, count(q.batch) AS batches
          FROM report_request AS r
               LEFT JOIN (SELECT q.context AS batch, l.trace_id, l.span_id AS linked
                            FROM otel.span_queue AS q, otel.span_links(q.links) AS l) AS q
               ON q.trace_id = otel.trace_id(r.trace_context)
	AND q.linked = otel.span_id(r.trace_context)
         GROUP BY r.id) AS b
EOSQL
	sprintf('%d|%d|t', ROWS, ROWS),
	'every row is linked by exactly one batch span');
is($node->safe_psql('postgres', 'SELECT sum(dropped_links_count) FROM otel.span_queue'), 0,
	'no link was dropped');

$node->stop;
done_testing();
