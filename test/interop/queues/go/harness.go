// What the tests of Go's queues share: an application with OpenTelemetry whose requests enqueue
// jobs, and what arrived at the receiver.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

var (
	background = context.Background()
	provider   *sdktrace.TracerProvider
	admin      *pgx.Conn
	pool       *pgxpool.Pool
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// Connects the application and, in a way that sends no contexts, us.
func connect() {
	exporter, err := otlptracehttp.New(background)
	must(err)
	provider = sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter))
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	config, err := pgx.ParseConfig("")
	must(err)
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	admin, err = pgx.ConnectConfig(background, config)
	must(err)
	pool, err = openPool(background, "")
	must(err)
}

func is(got, expected any, name string) {
	if fmt.Sprint(got) == fmt.Sprint(expected) {
		fmt.Println("ok - river:", name)
	} else {
		fmt.Printf("not ok - river: %s\n# got %.500v, expected %.500v\n", name, got, expected)
	}
}

func documented(name string) string {
	text, err := os.ReadFile("documented/river/" + name)
	must(err)
	return string(text)
}

func plain(sql string, parameters ...any) {
	_, err := admin.Exec(background, sql, parameters...)
	must(err)
}

// The rows' first column, as text.
func texts(sql string, parameters ...any) []string {
	rows, err := admin.Query(background, sql, parameters...)
	must(err)
	values, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(err)
	return values
}

// Runs work in a request's span, the root of a trace; returns the trace.
func request(work func(context.Context)) trace.TraceID {
	ctx, span := otel.Tracer("test").Start(background, "request", trace.WithNewRoot())
	defer span.End()
	work(ctx)
	return span.SpanContext().TraceID()
}

type identity struct {
	TraceID string `json:"trace_id"`
	SpanID  string `json:"span_id"`
}

// A span as OpenTelemetry's own classes decoded it.
type span struct {
	identity
	Name     string     `json:"name"`
	Links    []identity `json:"links"`
	Resource struct {
		Attributes map[string]any `json:"attributes"`
	} `json:"resource"`
}

// What this process and otel_links have exported.
func received() (spans []span) {
	must(provider.ForceFlush(background))
	plain("SELECT otel.force_flush()")
	file, err := os.Open(os.Getenv("RECEIVED"))
	must(err)
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var one span
		must(json.Unmarshal(lines.Bytes(), &one))
		spans = append(spans, one)
	}
	must(lines.Err())
	return spans
}

// The traces of contexts; "unknown" where this process has exported no such span.
func traces(contexts ...identity) (found []string) {
	exported := map[identity]bool{}
	for _, span := range received() {
		if span.Resource.Attributes["telemetry.sdk.language"] == "go" {
			exported[span.identity] = true
		}
	}
	for _, context := range contexts {
		switch {
		case context.TraceID == "":
			found = append(found, "none")
		case exported[context]:
			found = append(found, context.TraceID)
		default:
			found = append(found, "unknown")
		}
	}
	return found
}

// The context in metadata, which is JSON.
func contextOf(metadata []byte) (found identity) {
	must(admin.QueryRow(background, `SELECT coalesce(otel.trace_id(c), ''),
		coalesce(otel.span_id(c), '') FROM otel.extract($1::text::jsonb) c`,
		string(metadata)).Scan(&found.TraceID, &found.SpanID))
	return found
}

// The traces of what is linked to the batch span that the documented statement starts.
func linkedTraces() (linked []string) {
	plain("BEGIN")
	plain(documented("batch.sql"))
	plain("SELECT otel.end_span(); COMMIT")
	for _, span := range received() {
		if span.Name == "process items" {
			linked = append(linked, traces(span.Links...)...)
		}
	}
	return linked
}

func shape(table string) string { return texts("SELECT shape($1)", table)[0] }

func until(condition func() bool) {
	for range 300 {
		if condition() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	panic("in vain")
}
