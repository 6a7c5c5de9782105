# lib.sh: what the scripts share; sourced by bash, not run.
#
# Sets ROOT (the checkout), PYTHON (the system's, never a shim that comes first in PATH), VENV and
# BUILD, and defines functions.  Nothing here uses a PostgreSQL cluster that is already running.

# If make started this script, its flags and job server are not meant for our own calls of make.
unset MAKEFLAGS MFLAGS MAKELEVEL

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
BUILD=$ROOT/build
VENV=$BUILD/venv
PYTHON=${PYTHON:-/usr/bin/python3}
export LC_ALL=C.UTF-8

say() { printf '==> %s\n' "$*" >&2; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# Runs a command as root; only for installing.
as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "needs root for: $*"
	fi
}

# Runs a command as the user that may run a PostgreSQL server, which root may not.
as_server_user()
{
	if [ "$(id -u)" = 0 ]; then
		runuser -u postgres -- "$@"
	else
		"$@"
	fi
}

# A new folder of the server's user, with a path short enough for a Unix socket in it.  For use in
# $(…), after the trap that removes it was set: no signal comes between making it and printing its
# name.
server_tempdir()
{
	local dir
	trap '' INT TERM HUP
	dir=$(mktemp -d /tmp/otel_links.XXXXXXXX)
	chmod 755 "$dir"
	if [ "$(id -u)" = 0 ]; then
		chown postgres: "$dir"
	fi
	echo "$dir"
}

# The newest major of Debian's layout that has both a server and what extensions are built with.
installed_major()
{
	local dir found=
	for dir in $(printf '%s\n' /usr/lib/postgresql/*/ | sort -V); do
		if [ -x "$dir/bin/postgres" ] && [ -f "$dir/lib/pgxs/src/makefiles/pgxs.mk" ]; then
			found=$(basename "$dir")
		fi
	done
	echo "$found"
}

# Sets and exports PG_CONFIG: the caller's, else that of $PG_MAJOR, else that of the newest complete
# major.
find_pg_config()
{
	local major
	if [ -z "${PG_CONFIG:-}" ]; then
		major=${PG_MAJOR:-$(installed_major)}
		PG_CONFIG=/usr/lib/postgresql/${major:-none}/bin/pg_config
	fi
	command -v "$PG_CONFIG" >/dev/null || die "no $PG_CONFIG; run scripts/setup, or say PG_CONFIG=…"
	PG_CONFIG=$(command -v "$PG_CONFIG")
	export PG_CONFIG
	PG_BINDIR=$("$PG_CONFIG" --bindir)
}

# Unsets the OTEL_ variables, because the server under test would use them as defaults.  Those that
# match a pattern stay.
unset_otel_variables()
{
	local name
	for name in $(compgen -e | grep '^OTEL_' || true); do
		[[ -n ${1:-} && $name =~ $1 ]] || unset "$name"
	done
}

# build/venv, with the pinned packages of test/requirements.txt.  A copy of that file is made last,
# to say that the environment is complete.
setup_venv()
{
	if ! cmp -s "$ROOT/test/requirements.txt" "$VENV/requirements.txt"; then
		say "making build/venv"
		rm -rf "$VENV"
		mkdir -p "$BUILD"
		"$PYTHON" -m venv "$VENV"
		"$VENV/bin/python3" -m pip --disable-pip-version-check --quiet install \
			--requirement "$ROOT/test/requirements.txt" >&2
		cp "$ROOT/test/requirements.txt" "$VENV/requirements.txt"
	fi
}

# Builds and installs into the tree of PG_CONFIG; arguments go to make.
build_and_install()
{
	make -s -C "$ROOT" PG_CONFIG="$PG_CONFIG" "$@" all
	as_root make -s -C "$ROOT" PG_CONFIG="$PG_CONFIG" "$@" install >/dev/null
}

# compile_plain PROGRAM FILE FLAG…: compiles a C program with the sources that include no PostgreSQL
# header.
compile_plain()
{
	local program=$1 file=$2 plain_sources
	shift 2
	mapfile -t plain_sources < <(grep -L '"postgres.h"' "$ROOT"/src/*.c "$ROOT"/src/*/*.c)
	clang -g -O1 -fno-sanitize-recover=all "$@" -I"$ROOT/src" -o "$program" "$file" \
		"${plain_sources[@]}"
}
