// What the Go stacks share: an SDK that keeps its spans, requests, and a look at the rows.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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
	stack    string
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func is(got, expected any, name string) {
	if fmt.Sprint(got) == fmt.Sprint(expected) {
		fmt.Printf("ok - %s: %s\n", stack, name)
	} else {
		fmt.Printf("not ok - %s: %s\n# got %v, expected %v\n", stack, name, got, expected)
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

// Each row has a client span of the request's trace.
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
		name+": each row is a client span of its request's")
}

// How many of 20 requests at once have another's context, or none.
func wrongContexts(insert func(ctx context.Context, payload string) error) int {
	var wait sync.WaitGroup
	var spans [20]trace.SpanContext
	for i := range spans {
		wait.Add(1)
		go func() {
			defer wait.Done()
			spans[i] = request(func(ctx context.Context) error {
				return insert(ctx, fmt.Sprint(i))
			})
		}()
	}
	wait.Wait()
	right := 0
	for i, span := range spans {
		var n int
		must(admin.QueryRow(context.Background(),
			"SELECT count(*) FROM jobs WHERE payload = $1 AND otel.trace_id(trace_context) = $2",
			fmt.Sprint(i), span.TraceID().String()).Scan(&n))
		right += n
	}
	recorded()
	return len(spans) - right
}

// An SDK, and a connection of the test's own.
func setUp(ctx context.Context, url string) {
	folder, err := os.Getwd()
	must(err)
	stack = filepath.Base(folder)
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)))
	otel.SetTextMapPropagator(propagation.TraceContext{})
	admin, err = pgx.Connect(ctx, url)
	must(err)
	_, err = admin.Exec(ctx, "SET client_min_messages = warning")
	must(err)
}
