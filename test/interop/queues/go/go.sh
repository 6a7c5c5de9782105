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

run_go()
{
	local psql database=queue_$1
	psql=("$("${PG_CONFIG:-pg_config}" --bindir)/psql" -XAtq)
	"${psql[@]}" -d postgres -c "DROP DATABASE IF EXISTS $database WITH (FORCE)" \
		-c "CREATE DATABASE $database" 2>/dev/null
	"${psql[@]}" -d "$database" -c 'CREATE EXTENSION otel_links' \
		-c "ALTER DATABASE $database SET otel.traces_exporter = none"
	./queues "postgres://$PGUSER@127.0.0.1:$PGPORT/$database?sslmode=disable"
}
