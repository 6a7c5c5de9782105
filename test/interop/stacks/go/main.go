// pgx and database/sql as docs/stacks.md sets them up.  Prints TAP lines.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

const insert = "INSERT INTO jobs (payload) VALUES ($1)"

var (
	recorder = tracetest.NewSpanRecorder()
	admin    *pgx.Conn
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func is(got, expected any, name string) {
	if fmt.Sprint(got) == fmt.Sprint(expected) {
		fmt.Printf("ok - go: %s\n", name)
	} else {
		fmt.Printf("not ok - go: %s\n# got %v, expected %v\n", name, got, expected)
	}
}

func traceparent(c trace.SpanContext) string {
	return fmt.Sprintf("00-%s-%s-%s", c.TraceID(), c.SpanID(), c.TraceFlags())
}

// The context of a request's span, in which work ran.
func request(work func(context.Context) error) trace.SpanContext {
	ctx, span := otel.Tracer("test").Start(context.Background(), "request")
	defer span.End()
	must(work(ctx))
	return span.SpanContext()
}

// The contexts of the rows since the last call.
func recorded() []string {
	rows, err := admin.Query(context.Background(), `
		WITH gone AS (DELETE FROM jobs RETURNING id, trace_context)
		SELECT coalesce(trace_context::text, 'NULL') FROM gone ORDER BY id`)
	must(err)
	contexts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(err)
	return contexts
}

func repeat(s string, n int) []string {
	return strings.Split(strings.TrimSuffix(strings.Repeat(s+" ", n), " "), " ")
}

// How many of the rows since the last call have a span that was exported in this request's trace.
func ofTrace(span trace.SpanContext) int {
	exported := map[string]bool{}
	for _, s := range recorder.Ended() {
		if s.SpanContext().TraceID() == span.TraceID() {
			exported[traceparent(s.SpanContext())] = true
		}
	}
	n := 0
	for _, c := range recorded() {
		if exported[c] {
			n++
		}
	}
	return n
}

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

	var wait sync.WaitGroup
	var spans [20]trace.SpanContext
	for i := range spans {
		wait.Add(1)
		go func() {
			defer wait.Done()
			spans[i] = request(func(ctx context.Context) error {
				_, err := pool.Exec(ctx, insert, fmt.Sprint(i))
				return err
			})
		}()
	}
	wait.Wait()
	right := 0
	for i, span := range spans {
		var n int
		must(admin.QueryRow(ctx,
			"SELECT count(*) FROM jobs WHERE payload = $1 AND otel.trace_id(trace_context) = $2",
			fmt.Sprint(i), span.TraceID().String()).Scan(&n))
		right += n
	}
	is(right, 20, "openPool: 20 requests at once on 2 connections, each with its own context")
	recorded()
}

// Each row has a client span that otelsql ended, in the request's trace.
func eachIsAClientSpan(name string, rows int, work func(context.Context) error) {
	before := len(recorder.Ended())
	span := request(work)
	exported := map[string]bool{}
	for _, s := range recorder.Ended()[before:] {
		if s.SpanKind() == trace.SpanKindClient && s.SpanContext().TraceID() == span.TraceID() {
			exported[traceparent(s.SpanContext())] = true
		}
	}
	contexts := recorded()
	unknown := 0
	for _, c := range contexts {
		if !exported[c] {
			unknown++
		}
	}
	is([]int{len(contexts), unknown}, []int{rows, 0},
		"otelsql: "+name+": each row is a client span of its request's")
}

func checkDatabase(ctx context.Context, url string) {
	db, err := openDatabase(url)
	must(err)
	defer db.Close()
	for i := 1; i <= 3; i++ {
		name := fmt.Sprintf("ExecContext, request %d", i)
		eachIsAClientSpan(name, 1, func(ctx context.Context) error {
			_, err := db.ExecContext(ctx, insert, "x")
			return err
		})
	}
	eachIsAClientSpan("QueryRowContext with RETURNING", 1, func(ctx context.Context) error {
		var id int
		return db.QueryRowContext(ctx, insert+" RETURNING id", "x").Scan(&id)
	})
	eachIsAClientSpan("many rows", 300, func(ctx context.Context) error {
		_, err := db.ExecContext(ctx,
			"INSERT INTO jobs (payload) SELECT $1 FROM generate_series(1, 300)", "x")
		return err
	})
	eachIsAClientSpan("a transaction", 2, func(ctx context.Context) error {
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
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	var err error
	admin, err = pgx.Connect(ctx, url)
	must(err)
	_, err = admin.Exec(ctx, `SET client_min_messages = warning;
		CREATE TABLE jobs (id serial PRIMARY KEY, payload text NOT NULL);
		SELECT otel.add_trace_context('jobs')`)
	must(err)
	checkPool(ctx, url)
	checkDatabase(ctx, url)
}
