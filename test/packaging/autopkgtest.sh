#!/bin/bash
# debian/tests as autopkgtest would run them: as a user, against the installed package.
# scripts/check-packages runs this in the system that built it, as root; it speaks TAP.
#
#   autopkgtest.sh SOURCE_TREE PACKAGE USER
set -u -o pipefail
log=/tmp/autopkgtest.log
source "$(dirname "$0")/tap.sh"

name=$(dpkg-deb --field "$2" Package)
DEBIAN_FRONTEND=noninteractive apt-get -qq install -y "$2" >"$log" 2>&1
ok $? 'the package installs where it was built'
cd "$1" || exit 1
for test in $(sed -n 's/^Tests: *//p' debian/tests/control); do
	status=0
	su "$3" -c "debian/tests/$test" >"$log" 2>&1 || status=$?
	grep -Eq '^(ok [0-9]|(test| ) .*\.\.\. ok)|All [0-9]+ tests passed' "$log" || status=1
	ok $status "debian/tests/$test passes"
done
apt-get -qq purge -y "$name" >"$log" 2>&1
ok $? 'the package can be purged'
done_testing
