// pgx and database/sql as docs/stacks.md sets them up.  Prints TAP lines.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"
)

func checkPool(ctx context.Context, url string) {
	pool, err := openPool(ctx, url+"&pool_max_conns=2")
	must(err)
	defer pool.Close()
	copyRows := func(tx interface {
		CopyFrom(context.Context, pgx.Identifier, []string, pgx.CopyFromSource) (int64, error)
	}, ctx context.Context) error {
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"jobs"}, []string{"payload"},
			pgx.CopyFromRows([][]any{{"x"}, {"y"}}))
		return err
	}
	batch := func() *pgx.Batch {
		b := &pgx.Batch{}
		for range 3 {
			b.Queue(insert, "x")
		}
		return b
	}
	for i := 1; i <= 3; i++ {
		span := request(func(ctx context.Context) error {
			_, err := pool.Exec(ctx, insert, "x")
			return err
		})
		is(ofTrace(span), 1, fmt.Sprintf("openPool: Exec, request %d", i))
	}
	span := request(func(ctx context.Context) error { return pool.SendBatch(ctx, batch()).Close() })
	is(ofTrace(span), 3, "openPool: SendBatch")
	span = request(func(ctx context.Context) error { return copyRows(pool, ctx) })
	is(ofTrace(span), 2, "openPool: CopyFrom")
	_, err = pool.Exec(ctx, insert, "x")
	must(err)
	is(recorded(), []string{"NULL"},
		"openPool: without a span, nothing of the last request is left")

	span = request(func(ctx context.Context) error {
		return inTransaction(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, insert, "x"); err != nil {
				return err
			}
			if err := copyRows(tx, ctx); err != nil {
				return err
			}
			return tx.SendBatch(ctx, batch()).Close()
		})
	})
	is(recorded(), repeat(traceparent(span), 6), "inTransaction: Exec, CopyFrom and SendBatch")

	is(wrongContexts(func(ctx context.Context, payload string) error {
		_, err := pool.Exec(ctx, insert, payload)
		return err
	}), 0, "openPool: 20 requests at once on 2 connections, each with its own context")
}

func checkDatabase(ctx context.Context, url string) {
	db, err := openDatabase(url)
	must(err)
	defer db.Close()
	for i := 1; i <= 3; i++ {
		name := fmt.Sprintf("otelsql: ExecContext, request %d", i)
		eachIsAClientSpan(name, 1, func(ctx context.Context) error {
			_, err := db.ExecContext(ctx, insert, "x")
			return err
		})
	}
	name := "otelsql: QueryRowContext with RETURNING"
	eachIsAClientSpan(name, 1, func(ctx context.Context) error {
		var id int
		return db.QueryRowContext(ctx, insert+" RETURNING id", "x").Scan(&id)
	})
	eachIsAClientSpan("otelsql: many rows", 300, func(ctx context.Context) error {
		_, err := db.ExecContext(ctx,
			"INSERT INTO jobs (payload) SELECT $1 FROM generate_series(1, 300)", "x")
		return err
	})
	eachIsAClientSpan("otelsql: a transaction", 2, func(ctx context.Context) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		for range 2 {
			if _, err := tx.ExecContext(ctx, insert, "x"); err != nil {
				return err
			}
		}
		return tx.Commit()
	})
}

func main() {
	url := os.Args[1]
	ctx := context.Background()
	setUp(ctx, url)
	_, err := admin.Exec(ctx, `
		CREATE TABLE jobs (id serial PRIMARY KEY, payload text NOT NULL);
		SELECT otel.add_trace_context('jobs')`)
	must(err)
	checkPool(ctx, url)
	checkDatabase(ctx, url)
}
