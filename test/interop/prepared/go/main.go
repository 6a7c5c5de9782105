// pgx, and database/sql with pgx and lib/pq, with statements that carry a comment.
// Prints TAP lines.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
)

const take = "SELECT take_recorded()"

var ctx = context.Background()

func insert(request int) string {
	return fmt.Sprintf("INSERT INTO prepared_jobs (how) VALUES ($1) "+
		"/*traceparent='00-4bf92f3577b34da6a3ce929d0e0e473%d-00f067aa0ba902b7-01'*/", request)
}

func is(got, expected, what string) {
	if got == expected {
		fmt.Printf("ok - %s: %s\n", what, expected)
	} else {
		fmt.Printf("not ok - %s: %s\n# got %s\n", what, expected, got)
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func recorded(conn *pgx.Conn) (digits string) {
	must(conn.QueryRow(ctx, take, pgx.QueryExecModeSimpleProtocol).Scan(&digits))
	return
}

func batch(request, rows int) *pgx.Batch {
	b := &pgx.Batch{}
	for range rows {
		b.Queue(insert(request), "x")
	}
	return b
}

func tryPgx(mode pgx.QueryExecMode, kept string) {
	config, err := pgx.ParseConfig("")
	must(err)
	config.DefaultQueryExecMode = mode
	conn, err := pgx.ConnectConfig(ctx, config)
	must(err)
	defer conn.Close(ctx)
	name := fmt.Sprintf("pgx, mode %v", mode)

	for range 3 {
		_, err = conn.Exec(ctx, insert(1), "x")
		must(err)
	}
	is(recorded(conn), kept, name+", the same text in three requests")
	for request := 2; request <= 4; request++ {
		_, err = conn.Exec(ctx, insert(request), "x")
		must(err)
	}
	is(recorded(conn), "234", name+", a text for each request")
	must(conn.SendBatch(ctx, batch(5, 5)).Close())
	is(recorded(conn), "55555", name+", a batch")
	tx, err := conn.Begin(ctx)
	must(err)
	must(tx.SendBatch(ctx, batch(6, 3)).Close())
	_, err = tx.Exec(ctx, insert(6), "x")
	must(err)
	must(tx.Commit(ctx))
	is(recorded(conn), "6666", name+", a batch in a transaction")

	tx, err = conn.Begin(ctx)
	must(err)
	_, err = tx.Exec(ctx, "SELECT otel.set_trace_context($1)",
		"00-4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b7-01")
	must(err)
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"prepared_jobs"}, []string{"how"},
		pgx.CopyFromRows([][]any{{"a"}, {"b"}}))
	must(err)
	must(tx.Commit(ctx))
	is(recorded(conn), "77", name+", CopyFrom after set_trace_context()")
}

func tryPrepare() {
	conn, err := pgx.Connect(ctx, "")
	must(err)
	defer conn.Close(ctx)
	_, err = conn.Prepare(ctx, "kept", insert(1))
	must(err)
	for range 3 {
		_, err = conn.Exec(ctx, "kept", "x")
		must(err)
	}
	is(recorded(conn), "1--", "pgx, Prepare, three requests")
	_, err = conn.Prepare(ctx, "at start", insert(2))
	must(err)
	_, err = conn.Exec(ctx, "SELECT pg_sleep(1.1)")
	must(err)
	_, err = conn.Exec(ctx, "at start", "x")
	must(err)
	is(recorded(conn), "-", "pgx, prepared when the program started")
}

func trySQL(driver, conninfo string) {
	db, err := sql.Open(driver, conninfo)
	must(err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	digits := func() (result string) {
		must(db.QueryRow(take).Scan(&result))
		return
	}
	name := "database/sql with " + driver

	statement, err := db.Prepare(insert(1))
	must(err)
	for range 3 {
		_, err = statement.Exec("x")
		must(err)
	}
	is(digits(), "1--", name+", Prepare, three requests")
	for request := 2; request <= 4; request++ {
		_, err = db.Exec(insert(request), "x")
		must(err)
	}
	is(digits(), "234", name+", a text for each request")
	tx, err := db.Begin()
	must(err)
	statement, err = tx.Prepare(insert(5))
	must(err)
	for range 3 {
		_, err = statement.Exec("x")
		must(err)
	}
	must(tx.Commit())
	is(digits(), "555", name+", prepared and executed in one transaction")
}

// What a program prepares at its start has the comment of the start, in every mode.
func tryStart(driver, conninfo string) {
	db, err := sql.Open(driver, conninfo)
	must(err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	statement, err := db.Prepare(insert(1))
	must(err)
	_, err = db.Exec("SELECT pg_sleep(1.1)")
	must(err)
	for range 3 {
		_, err = statement.Exec("x")
		must(err)
	}
	var digits string
	must(db.QueryRow(take).Scan(&digits))
	is(digits, "---", fmt.Sprintf("database/sql with %s, %s, prepared when the program started",
		driver, conninfo))
}

func main() {
	tryPgx(pgx.QueryExecModeCacheStatement, "1--")
	tryPgx(pgx.QueryExecModeCacheDescribe, "111")
	tryPgx(pgx.QueryExecModeDescribeExec, "111")
	tryPgx(pgx.QueryExecModeExec, "111")
	tryPgx(pgx.QueryExecModeSimpleProtocol, "111")
	tryPrepare()
	trySQL("pgx", "")
	trySQL("postgres", "sslmode=disable")
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec",
		"simple_protocol"} {
		tryStart("pgx", "default_query_exec_mode="+mode)
	}
	tryStart("postgres", "sslmode=disable")
}
