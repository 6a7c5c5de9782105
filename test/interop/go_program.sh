# go_program.sh: builds the Go programs of interop suites, once; sourced by bash after lib.sh.

# go_program SOURCES PROGRAM: from the module in a folder, whose go.mod pins what it needs.  Some
# 150 modules are fetched: one connection that breaks must not fail the test.
go_program()
{
	local sources=$1 program=$2 attempt
	command -v go >/dev/null || die "go is missing: install Go 1.25 or later"
	mkdir -p "$(dirname "$program")"
	if cat "$sources"/{go.mod,go.sum,main.go} | cmp -s - "$program.sources"; then
		return
	fi
	rm -f "$program.sources"
	for attempt in 1 2 3; do
		if go -C "$sources" build -o "$program" . 2>"$program.log"; then
			cat "$sources"/{go.mod,go.sum,main.go} >"$program.sources"
			return
		fi
		sleep $((attempt * 5))
	done
	tail -n 20 "$program.log" >&2
	die "cannot build $program"
}
