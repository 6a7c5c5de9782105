// Code that sqlc generates from what docs/stacks.md shows.  Prints TAP lines.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"

	"otel_links/stacks/sqlc/db"
)

func checkPool(ctx context.Context, url string) {
	pool, err := openPool(ctx, url+"&pool_max_conns=2")
	must(err)
	defer pool.Close()
	queries := db.New(pool)
	for i := 1; i <= 3; i++ {
		var job db.Job
		span := request(func(ctx context.Context) (err error) {
			job, err = queries.Enqueue(ctx, "x")
			return err
		})
		is([]any{ofTrace(span), (*job.TraceContext)[3:35]}, []any{1, span.TraceID()},
			fmt.Sprintf("openPool: the row has its request's context and the struct too, %d", i))
	}
	span := request(func(ctx context.Context) error {
		_, err := queries.EnqueueMany(ctx, []string{"x", "y"})
		return err
	})
	is(ofTrace(span), 2, "openPool: copyfrom")
	is(wrongContexts(func(ctx context.Context, payload string) error {
		_, err := queries.Enqueue(ctx, payload)
		return err
	}), 0, "openPool: 20 requests at once on 2 connections, each with its own context")
	job, err := queries.Enqueue(ctx, "x")
	must(err)
	is(job.TraceContext == nil, true, "without a span, nothing of the last request is left")
	recorded()

	span = request(func(ctx context.Context) error {
		return inTransaction(ctx, pool, func(tx pgx.Tx) error {
			queries := queries.WithTx(tx)
			if _, err := queries.Enqueue(ctx, "x"); err != nil {
				return err
			}
			_, err := queries.EnqueueMany(ctx, []string{"y", "z"})
			return err
		})
	})
	is(recorded(), repeat(traceparent(span), 3), "inTransaction: a query and copyfrom")
}

func withoutHook(ctx context.Context, url string) {
	conn, err := pgx.Connect(ctx, url)
	must(err)
	defer conn.Close(ctx)
	request(func(ctx context.Context) error {
		_, err := db.New(conn).Enqueue(ctx, "x")
		return err
	})
	is(recorded(), []string{"NULL"}, "without either there is no context")
}

func main() {
	ctx := context.Background()
	setUp(ctx, os.Args[1])
	checkPool(ctx, os.Args[1])
	withoutHook(ctx, os.Args[1])
}
