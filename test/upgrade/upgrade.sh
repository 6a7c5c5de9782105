#!/bin/bash
# pg_upgrade from one major to another, both with the extension installed: are tables, indexes,
# settings and waiting spans kept?  scripts/check-upgrade runs this, as root; it speaks TAP.
#
#   upgrade.sh OLD_BINDIR NEW_BINDIR
set -u -o pipefail

old=$1
new=$2
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d /tmp/otel_links.XXXXXXXX)
log=$work/log
source "$(dirname "$0")/../packaging/tap.sh"
traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
chown postgres: "$work"
port=$("$root/build/venv/bin/python3" -c \
	'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')

as_postgres() { (cd "$work" && runuser -u postgres -- "$@"); }

# server BINDIR DATA start|stop
server()
{
	as_postgres "$1/pg_ctl" -D "$work/$2" -s -w -l "$work/server.log" \
		-o "-p $port -k $work -c listen_addresses=" "$3" >>"$log" 2>&1 ||
		{ cat "$work/server.log" >>"$log"; return 1; }
}

sql()
{
	as_postgres "$new/psql" -XqAt -v ON_ERROR_STOP=1 -h "$work" -p "$port" -d app -c "$1" 2>>"$log"
}

# What an upgrade must not change.
rows='SELECT md5(string_agg(id || trace_context::text, $$,$$ ORDER BY trace_context)) FROM jobs'

"$root/build/venv/bin/python3" "$root/test/receiver/otlp_receiver.py" --port-file "$work/port" \
	--spans "$work/spans" >"$work/receiver.log" 2>&1 &
receiver=$!
trap 'kill "$receiver"; rm -rf "$work"' EXIT
timeout 30 sh -c 'until [ -s "$0" ]; do sleep 0.1; done' "$work/port"

for side in old new; do
	as_postgres "${!side}/initdb" -D "$work/$side" -U postgres -A trust -E UTF8 \
		--locale=C.UTF-8 -N \
		$("${!side}/initdb" --help | grep -o -m 1 -e --no-data-checksums) \
		>>"$log" 2>&1 || ok 1 "initdb of $("${!side}/postgres" --version)"
done

server "$old" old start
as_postgres "$new/createdb" -h "$work" -p "$port" -U postgres app
sql "CREATE EXTENSION otel_links"
sql "ALTER DATABASE app SET otel.exporter_otlp_endpoint = 'http://127.0.0.1:$(cat "$work/port")'"
sql "ALTER DATABASE app SET otel.traces_exporter = none"
sql "ALTER DATABASE app SET otel.service_name = 'before'"
sql "CREATE TABLE jobs (id int)" && sql "SELECT otel.add_trace_context('jobs')"
sql "CREATE INDEX ON jobs (trace_context)"
sql "CREATE INDEX ON jobs USING hash (trace_context)"
sql "CREATE INDEX ON jobs USING hash (otel.trace_id(trace_context))"
sql "CREATE TABLE parts (id int, context otel.trace_context DEFAULT otel.current_trace_context())
	PARTITION BY HASH (context)"
sql "CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
	CREATE TABLE parts_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1)"
sql "CREATE TABLE mails (id int, headers jsonb);
	CREATE TRIGGER context BEFORE INSERT ON mails
		FOR EACH ROW EXECUTE FUNCTION otel.capture_trace_context('headers')"
sql "CREATE TABLE batches (contexts otel.trace_context[], links otel.span_link[])"
sql "CREATE VIEW links AS SELECT otel.link_agg(trace_context) AS links FROM jobs"
sql "INSERT INTO jobs SELECT i, otel.from_ids(md5(i::text), left(md5(i::text), 16), 1, 'a=' || i)
	FROM generate_series(1, 1000) i"
sql "INSERT INTO jobs VALUES (0) /*traceparent='$traceparent'*/"
sql "INSERT INTO parts SELECT id, trace_context FROM jobs"
sql "INSERT INTO batches SELECT array_agg(trace_context), otel.link_agg(trace_context) FROM jobs"
sql "SELECT otel.record_span('waits', now(), links => links) FROM links"
before=$(sql "$rows")
server "$old" old stop
is "${#before}" 32 "$("$old/postgres" --version) has rows, indexes and a span that waits"

status=0
as_postgres "$new/pg_upgrade" -b "$old" -B "$new" -d "$work/old" -D "$work/new" -U postgres \
	-s "$work" >>"$log" 2>&1 || status=$?
[ $status = 0 ] || find "$work/new" -name '*.log' -exec tail -n 20 {} + >>"$log" 2>/dev/null
ok $status "pg_upgrade to $("$new/postgres" --version)"
: >"$log"

server "$new" new start
ok $? 'the new server starts'
is "$(sql "$rows")" "$before" 'every row has its context, in the same order'
is "$(sql "SET enable_seqscan = off; SET enable_bitmapscan = off;
	SELECT (SELECT id FROM jobs WHERE trace_context = '$traceparent'),
		(SELECT count(*) FROM jobs WHERE otel.trace_id(trace_context) = '${traceparent:3:32}'),
		(SELECT count(*) FROM jobs WHERE trace_context > '$traceparent')
			+ (SELECT count(*) FROM jobs WHERE trace_context < '$traceparent')")" '0|1|1000' \
	'the indexes of the old server find them'
is "$(sql "SELECT bool_and(satisfies_hash_partition('parts'::regclass, 2,
	right(tableoid::regclass::text, 1)::int, context)) FROM parts")" t \
	'every row is in the partition that the new server would choose'
is "$(sql "SELECT cardinality(contexts), cardinality(links) FROM batches")" '1001|1001' \
	'arrays of contexts and links are read'
sql "INSERT INTO jobs VALUES (-1) /*traceparent='$traceparent'*/; INSERT INTO mails VALUES (1)"
sql "INSERT INTO mails VALUES (2) /*traceparent='$traceparent'*/"
is "$(sql "SELECT count(*), (SELECT headers ->> 'traceparent' FROM mails WHERE id = 2) FROM jobs
	WHERE otel.trace_id(trace_context) = '${traceparent:3:32}'")" "2|$traceparent" \
	'defaults and triggers go on'
is "$(sql "LOAD 'otel_links'; SHOW otel.service_name")" before \
	'the settings of the database are there'

sql "ALTER DATABASE app RESET otel.traces_exporter"
sql "SELECT otel.force_flush()" >>"$log"
is "$(sql "SELECT count(*) FROM otel.failed_spans WHERE name = 'waits'")" 1 \
	'the span that waited is set aside: the old server may have sent it'
# 1,001 links are one span of 128 and seven more with the others
is "$(sql "SELECT otel.retry_failed()")" 8 'otel.retry_failed() queues it again, with its parts'
sql "SELECT otel.record_span('after', now())" >>"$log"
sql "SELECT otel.force_flush()" >>"$log"
is "$(sql "SELECT exported, pending, failed FROM otel.export_status")" '9|0|0' \
	'the span that waited is exported'
is "$(sed -n 's/.*"name": "\(waits\|after\)".*/\1/p' "$work/spans" | sort | xargs)" 'after waits' \
	'the collector has it'
server "$new" new stop
done_testing
