#!/bin/bash
# Does what a packager does with the Makefile, on a copy of the sources.  Prints TAP; needs
# PG_CONFIG.
source "$(dirname "$0")/../../scripts/lib.sh"
find_pg_config

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
log=$work/log
source "$(dirname "$0")/tap.sh"

# Runs make in a folder, its output in the log.
make_in() { local dir=$1; shift; make -C "$dir" PG_CONFIG="$PG_CONFIG" "$@" >"$log" 2>&1; }

files_in() { (cd "$1" && find . -type f | sort); }

# Is the first list of files the second?  The difference goes to the log.
same_files() { diff "$1" "$2" >"$log"; }

mkdir "$work/src"
(cd "$ROOT" && tar -cf - Makefile LICENSE otel_links* src test/sql test/expected test/specs) |
	tar -C "$work/src" -xf -
make_in "$work/src" clean || true
find "$work/src" -name '*.so' -delete
files_in "$work/src" >"$work/sources"

pkglibdir=$("$PG_CONFIG" --pkglibdir)
extension_dir=$("$PG_CONFIG" --sharedir)/extension

# The files that are built and those for CREATE EXTENSION, whatever their names are.
wanted()
{
	{
		find "$work/src" -name '*.so' -printf ".$pkglibdir/%f\n"
		find "$ROOT" -maxdepth 1 \( -name 'otel_links--*.sql' -o -name otel_links.control \) \
			-printf ".$extension_dir/%f\n"
	} | sort >"$work/wanted"
}

# DESTDIR's files without the bitcode, which only some servers have
installed() { files_in "$1" | sed '/\/bitcode\//d' >"$work/installed"; }

status=0; make_in "$work/src" -j2 all || status=$?
wanted
[ $status != 0 ] || grep -qx ".$pkglibdir/otel_links.so" "$work/wanted" || status=$?
ok $status 'make -j2 builds the libraries'

status=0; make_in "$work/src" DESTDIR="$work/dest" install || status=$?
installed "$work/dest"
[ $status != 0 ] || same_files "$work/installed" "$work/wanted" || status=$?
ok $status 'make install DESTDIR=… puts the libraries, the control file and the scripts there'

status=0; make_in "$work/src" DESTDIR="$work/dest" uninstall || status=$?
files_in "$work/dest" >"$work/left"
[ $status != 0 ] || same_files "$work/left" /dev/null || status=$?
ok $status 'make uninstall DESTDIR=… takes away every file again'

status=0; make_in "$work/src" clean || status=$?
files_in "$work/src" >"$work/left"
[ $status != 0 ] || same_files "$work/left" "$work/sources" || status=$?
ok $status 'make clean leaves the sources alone, and nothing else'

mkdir "$work/build"
status=0
make_in "$work/build" -f "$work/src/Makefile" VPATH="$work/src" DESTDIR="$work/dest" install ||
	status=$?
installed "$work/dest"
files_in "$work/src" >"$work/left"
[ $status != 0 ] || same_files "$work/installed" "$work/wanted" || status=$?
[ $status != 0 ] || same_files "$work/left" "$work/sources" || status=$?
ok $status 'a build in another folder installs the same and leaves the sources alone'

# What PGXN's specification asks of META.json, and that it is of this version
status=0
"$PYTHON" - "$ROOT" >"$log" 2>&1 <<-'EOF' || status=$?
	import json, pathlib, re, sys
	root = pathlib.Path(sys.argv[1])
	meta = json.loads((root / "META.json").read_text())
	control = (root / "otel_links.control").read_text()
	version = re.search("^default_version = '(.*)'", control, re.M)[1]
	wanted = version if version.count(".") == 2 else version + ".0"
	for key in ("name", "version", "abstract", "maintainer", "license", "provides", "meta-spec"):
	    assert meta[key], key
	assert meta["meta-spec"]["version"] == "1.0.0"
	resources = meta["resources"]
	assert set(resources) == {"homepage", "bugtracker", "repository"}
	assert set(resources["bugtracker"]) <= {"web", "mailto"}
	assert set(resources["repository"]) == {"url", "web", "type"}
	addresses = [resources["homepage"], resources["bugtracker"]["web"]]
	addresses += [resources["repository"][key] for key in ("url", "web")]
	assert all(re.fullmatch(r"https://\S+", address) for address in addresses), addresses
	assert re.fullmatch("[a-z]+", resources["repository"]["type"])
	assert meta["release_status"] in ("stable", "testing", "unstable")
	provided = meta["provides"]["otel_links"]
	assert meta["version"] == provided["version"] == wanted, wanted
	assert provided["file"] == f"otel_links--{version}.sql"
	assert all((root / provided[key]).exists() for key in ("file", "docfile"))
	assert set(meta["prereqs"]) <= {"configure", "build", "test", "runtime", "develop"}
	for needs in [v for phase in meta["prereqs"].values() for v in phase.values()]:
	    assert all(re.fullmatch(r"\d+\.\d+\.\d+", number) for number in needs.values())
	header = (root / "src" / "compat.h").read_text()
	assert f'#define OTEL_LINKS_VERSION "{version}"' in header, header
	changes = (root / "debian" / "changelog").read_text()
	assert changes.startswith(f"otel-links ({version}-"), changes
EOF
ok $status "META.json, the library and the Debian package say the control file's version"

done_testing
