# Sourced by ../run, in the folder of this stack.
command -v go >/dev/null || die "go is missing: install Go 1.26 or later"
cp "$HERE/support.go" .
go build -o stack . >&2
./stack "postgres://$PGUSER@127.0.0.1:$PGPORT/$PGDATABASE?sslmode=disable"
