#!/bin/bash
# Does `pgxn install` accept the archive that `make dist` makes?  scripts/check-packages runs this
# in a Debian system that has the server's headers, as a user with sudo; it speaks TAP.
#
#   pgxn.sh CHECKOUT MAJOR
set -u -o pipefail
cd "$1"
bindir=/usr/lib/postgresql/$2/bin
work=$(mktemp -d)
log=$work/log
source "$(dirname "$0")/tap.sh"

installed() { find "$("$bindir/pg_config" --sharedir)" "$("$bindir/pg_config" --pkglibdir)" \
	-name 'otel_links*' ! -path '*/bitcode/*'; }

# a cached wheel of it would name the interpreter of the run that built it
python3 -m venv "$work/venv" &&
	"$work/venv/bin/pip" --quiet install --no-cache-dir pgxnclient==1.3.2 >"$log" 2>&1
ok $? 'pgxnclient installs'

archive=$(make -s dist 2>"$log" | tail -n 1)
ok $? 'make dist makes an archive'

mkdir "$work/files"
(cd "$work/files" && python3 -m zipfile -e "$archive" . && find . -type f | cut -d/ -f3- | sort) \
	>"$work/in-archive"
git ls-files | grep -v -e '^debian/' -e '^\.ci/' -e '^\.gitignore$' | sort >"$work/in-git"
diff "$work/in-git" "$work/in-archive" >"$log"
ok $? 'in it is what is in git, but for the packages and the continuous integration'

cd /
status=0
"$work/venv/bin/pgxn" install --yes --sudo sudo --pg_config "$bindir/pg_config" "$archive" \
	>"$log" 2>&1 || status=$?
[ -n "$(installed)" ] || status=1
ok $status 'pgxn install builds and installs it'

# the collector that README names for machines without one
"$1/scripts/collector" 0 >"$work/collector" 2>"$log" &
collector=$!
timeout 300 sh -c 'until grep -q "^waiting for spans at http" "$0"; do sleep 0.1; done' \
	"$work/collector"
ok $? 'scripts/collector waits for spans'

status=0
endpoint=$(sed -n '1s/.* //p' "$work/collector")
pg_virtualenv -v "$2" -o "otel.exporter_otlp_endpoint=$endpoint" \
	psql -XAtc 'CREATE EXTENSION otel_links' \
	-c "SELECT otel.record_span('from PGXN', now()) IS NOT NULL" \
	-c 'SELECT otel.force_flush()' >"$log" 2>&1 || status=$?
ok $status 'CREATE EXTENSION works'
cat "$work/collector" >>"$log"
grep -q 'from PGXN  \[internal, span ' "$work/collector"
ok $? 'scripts/collector prints the span'
kill $collector
wait $collector 2>/dev/null

status=0
"$work/venv/bin/pgxn" uninstall --yes --sudo sudo --pg_config "$bindir/pg_config" "$archive" \
	>"$log" 2>&1 || status=$?
[ -z "$(installed)" ] || { status=1; installed >>"$log"; }
ok $status 'pgxn uninstall takes everything away again'
rm -rf "$work"
done_testing
