# go.sh: what ../run needs for the queues in Go; sourced by it.

QUEUES[go]='river'

# The pool that sends contexts is the one that docs/stacks.md shows.
prepare_go()
{
	command -v go >/dev/null || die "go is missing: install Go 1.26 or later"
	cp "$HERE"/go/*.go "$HERE"/go/go.* .
	"$PYTHON" "$ROOT/test/interop/doc_blocks.py" "$ROOT/docs/stacks.md" go stacks
	cp stacks/pool.go .
	go build -o queues . >&2
}

run_go() { in_database "$1" ./queues; }
