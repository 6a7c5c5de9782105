#!/bin/bash
# What somebody does who installs the package and has no checkout: in a Debian system that never saw
# a compiler.  scripts/check-packages runs this there, as root; it speaks TAP.
#
#   installed.sh FOLDER MAJOR COLLECTOR
#
# FOLDER holds the packages as VERSION/*.deb, of one version and of the one after it, and ca.crt,
# the certificate of COLLECTOR, an https URL that takes spans.
set -u -o pipefail

folder=$1
major=$2
collector=$3
package=postgresql-$major-otel-links
log=/tmp/installed.log
source "$(dirname "$0")/tap.sh"
mapfile -t versions < <(find "$folder" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort -V)
old=${versions[0]}
new=${versions[1]}

apt() { DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >"$log" 2>&1; }

# The policy of this system starts no service, so the cluster is started as its administrator would.
cluster() { pg_ctlcluster "$major" main "$1" >"$log" 2>&1; }

as_postgres() { su postgres -c "$(printf '%q ' "$@")"; }

sql() { as_postgres psql -XqAt -v ON_ERROR_STOP=1 -d app -c "$1" 2>>"$log"; }

# Waits until a query is true; the time-out is the test's failure.
sql_wait()
{
	local tries
	for tries in $(seq 300); do
		[ "$(sql "$1")" = t ] && return 0
		sleep 0.1
	done
	return 1
}

command -v cc gcc clang >"$log"
ok $((! $?)) 'this system has no compiler'

apt update
began=$SECONDS
status=0; apt install -y "$folder/$old"/"$package"_*.deb || status=$?
ok $status "apt installs version $old with PostgreSQL $major and libcurl"

command -v cc gcc clang >"$log"
ok $((! $?)) 'still without a compiler'

cluster start
status=0; as_postgres createdb app >"$log" 2>&1 || status=$?
ok $status 'the server runs, and was not restarted for the extension'

# the documentation that came with the package, as its reader would paste it
status=0
zcat -f /usr/share/doc/"$package"/README.md* | sed -n '/^## Quick start$/,/^## /p' |
	sed -n '/^```sql$/,/^```$/p' | sed '/^```/d' >/tmp/quickstart.sql || status=$?
install -m 644 "$folder/ca.crt" /etc/postgresql/collector-ca.crt
as_postgres psql -Xq -d postgres >>"$log" 2>&1 <<-EOF || status=$?
	ALTER DATABASE app SET otel.exporter_otlp_endpoint = '$collector';
	ALTER DATABASE app SET otel.exporter_otlp_certificate = '/etc/postgresql/collector-ca.crt';
EOF
as_postgres psql -XqAt -v ON_ERROR_STOP=1 -d app </tmp/quickstart.sql >"$log" 2>&1 || status=$?
ok $status 'the statements of the README run'
is "$(sql 'SELECT exported, failed, last_error IS NULL FROM otel.export_status')" '1|0|t' \
	'the span went out through TLS, verified by the CA that the setting names'
echo "# $((SECONDS - began)) s from the package to the first linked span"

# what the new version finds: data, an index, a session that is open, a span that waits
sql "CREATE TABLE orders (id int); SELECT otel.add_trace_context('orders');
	CREATE INDEX ON orders USING hash (otel.trace_id(trace_context))" >"$log"
sql "INSERT INTO orders VALUES (1)
	/*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/" >>"$log"
sql "ALTER DATABASE app SET otel.traces_exporter = none"
sql "SELECT otel.record_span('waits for the new version', now())" >>"$log"
mkfifo /tmp/session
as_postgres psql -XqAt -d app </tmp/session >/tmp/session.out 2>&1 &
exec 3>/tmp/session
echo "SELECT otel.record_span('of a session that stays', now()) IS NOT NULL;" >&3
sql_wait "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%a session that stays%'
	AND pid <> pg_backend_pid() AND state = 'idle'"

status=0; apt install -y "$folder/$new"/"$package"_*.deb || status=$?
ok $status "apt upgrades to version $new while sessions are open"
status=0; sql 'ALTER EXTENSION otel_links UPDATE' >"$log" || status=$?
ok $status 'ALTER EXTENSION otel_links UPDATE'
is "$(sql "SELECT extversion FROM pg_extension WHERE extname = 'otel_links'")" "$new" \
	"the database has version $new"
echo "SELECT otel.record_span('of the old session after it', now()) IS NOT NULL;" >&3
exec 3>&-
wait
is "$(sort -u </tmp/session.out)" t 'a session with the old library goes on recording'
sql 'ALTER DATABASE app RESET otel.traces_exporter'
sql 'SELECT otel.force_flush()' >"$log"
is "$(sql 'SELECT exported, pending, failed, last_error IS NULL FROM otel.export_status')" \
	'4|0|0|t' 'every span that waited arrives'
is "$(sql "SELECT otel.trace_id(trace_context) FROM orders
	WHERE otel.trace_id(trace_context) = '4bf92f3577b34da6a3ce929d0e0e4736'")" \
	4bf92f3577b34da6a3ce929d0e0e4736 'rows keep their context'

status=0; sql 'DROP EXTENSION otel_links CASCADE' >"$log" || status=$?
ok $status 'DROP EXTENSION'
status=0; apt purge -y "$package" || status=$?
find / -xdev \
	\( -path /proc -o -path "$folder" -o -path /var/lib/dpkg -o -path /var/log \) -prune -o \
	-name '*otel*links*' ! -name '*otel_links-ready' ! -name 50otel_links -print >"$log"
[ ! -s "$log" ] || status=1
ok $status 'purge leaves none of its files'
status=0; sql 'SELECT 1' >"$log" || status=$?
ok $status 'the server runs on after the purge'
cluster stop
done_testing
