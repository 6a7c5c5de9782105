#!/bin/bash
# Does an image that was built as docs/install.md says run in the way the official image runs?
# scripts/check-packages runs this in a folder that stands for the image, as root; it speaks TAP.
#
#   container.sh MAJOR COLLECTOR
set -u -o pipefail
export PATH=/usr/lib/postgresql/$1/bin:$PATH
export OTEL_EXPORTER_OTLP_ENDPOINT=$2
export PGDATA=/var/lib/postgresql/data PGHOST=/tmp
log=/tmp/container.log
source "$(dirname "$0")/tap.sh"

as_postgres() { (cd /tmp && runuser -u postgres -- "$@"); }

command -v cc gcc clang make >"$log"
ok $((! $?)) 'the image has no compiler and no make'
[ -z "$(find /otel_links /tmp -name '*.deb' 2>/dev/null)" ]
ok $? 'the image has no package that it was built from'

status=0
as_postgres initdb -A trust >"$log" 2>&1 &&
	as_postgres pg_ctl -s -w -l /tmp/server.log \
		-o '-p 54321 -c listen_addresses= -k /tmp' start >>"$log" 2>&1 || status=$?
ok $status 'the server starts'
status=0
as_postgres psql -p 54321 -XAt -v ON_ERROR_STOP=1 >"$log" 2>&1 <<-'EOF' || status=$?
	CREATE EXTENSION otel_links;
	SELECT otel.record_span('from a container', now());
	SELECT otel.force_flush();
	SELECT exported, failed, last_error FROM otel.export_status;
EOF
[ "$(tail -n 1 "$log")" = '1|0|' ] || status=1
ok $status 'a span reaches the collector that the environment names'
as_postgres pg_ctl -s -m fast stop
done_testing
