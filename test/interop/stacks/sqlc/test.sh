# Sourced by ../run, in the folder of this stack.  Building sqlc takes some minutes, once.
SQLC=v1.31.1
command -v go >/dev/null || die "go is missing: install Go 1.26 or later"
if [ ! -x "$WORK/sqlc-$SQLC/sqlc" ]; then
	GOFLAGS= GOBIN=$WORK/sqlc-$SQLC go install "github.com/sqlc-dev/sqlc/cmd/sqlc@$SQLC" >&2
fi
cp "$HERE/support.go" .
rm -rf database.go db
"$WORK/sqlc-$SQLC/sqlc" generate >&2
"$PSQL" -X -q -f schema.sql
go build -o stack . >&2
./stack "postgres://$PGUSER@127.0.0.1:$PGPORT/$PGDATABASE?sslmode=disable"
