// A job in Go: claims the pending report requests, makes the reports, and exports one span that
// is linked to the trace of every request.
//
// The database is named by PGHOST, PGDATABASE and so on, the collector by
// OTEL_EXPORTER_OTLP_ENDPOINT.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// One statement claims the rows and gives their links: no row can be claimed and not linked.
const claimAndLink = `
	WITH claimed AS (
		UPDATE report_request SET state = 'done'
		 WHERE id IN (SELECT id FROM report_request WHERE state = 'pending'
		               ORDER BY id LIMIT 1000 FOR UPDATE SKIP LOCKED)
		RETURNING id, trace_context, attributes)
	SELECT count(*),
	       otel.links_json(otel.link_agg(
	           trace_context, attributes || jsonb_build_object('report.id', id) ORDER BY id))
	  FROM claimed`

// An object of otel.links_json().
type linkJSON struct {
	Context struct {
		TraceID    string           `json:"traceId"`
		SpanID     string           `json:"spanId"`
		TraceFlags trace.TraceFlags `json:"traceFlags"`
		TraceState string           `json:"traceState"`
		IsRemote   bool             `json:"isRemote"`
	} `json:"context"`
	Attributes map[string]any `json:"attributes"`
}

func (l linkJSON) link() (trace.Link, error) {
	traceID, errTraceID := trace.TraceIDFromHex(l.Context.TraceID)
	spanID, errSpanID := trace.SpanIDFromHex(l.Context.SpanID)
	traceState, errTraceState := trace.ParseTraceState(l.Context.TraceState)
	return trace.Link{
		SpanContext: trace.NewSpanContext(trace.SpanContextConfig{
			TraceID:    traceID,
			SpanID:     spanID,
			TraceFlags: l.Context.TraceFlags,
			TraceState: traceState,
			Remote:     l.Context.IsRemote,
		}),
		Attributes: attributes(l.Attributes),
	}, errors.Join(errTraceID, errSpanID, errTraceState)
}

// JSON has one kind of number, attributes have two.
func attributes(values map[string]any) (kvs []attribute.KeyValue) {
	for name, value := range values {
		key := attribute.Key(name)
		switch v := value.(type) {
		case string:
			kvs = append(kvs, key.String(v))
		case bool:
			kvs = append(kvs, key.Bool(v))
		case json.Number:
			if i, err := v.Int64(); err == nil {
				kvs = append(kvs, key.Int64(i))
			} else if f, err := v.Float64(); err == nil {
				kvs = append(kvs, key.Float64(f))
			}
		case []any:
			kvs = append(kvs, list(key, v))
		}
	}
	return kvs
}

func list(key attribute.Key, values []any) attribute.KeyValue {
	var texts []string
	var numbers []int64
	for _, value := range values {
		switch v := value.(type) {
		case string:
			texts = append(texts, v)
		case json.Number:
			i, _ := v.Int64()
			numbers = append(numbers, i)
		}
	}
	if len(numbers) > 0 {
		return key.Int64Slice(numbers)
	}
	return key.StringSlice(texts)
}

func links(document []byte) ([]trace.Link, error) {
	var objects []linkJSON
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	err := decoder.Decode(&objects)
	var links []trace.Link
	for _, object := range objects {
		link, errLink := object.link()
		links, err = append(links, link), errors.Join(err, errLink)
	}
	return links, err
}

func run(ctx context.Context) error {
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return err
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter))
	tracer := provider.Tracer("make_reports")

	connection, err := pgx.Connect(ctx, "")
	if err != nil {
		return err
	}
	defer connection.Close(ctx)
	err = pgx.BeginFunc(ctx, connection, func(tx pgx.Tx) error {
		var requests int64
		var document []byte
		if err := tx.QueryRow(ctx, claimAndLink).Scan(&requests, &document); err != nil {
			return err
		}
		links, err := links(document)
		if err != nil {
			return err
		}
		_, span := tracer.Start(ctx, "make_reports", trace.WithNewRoot(),
			trace.WithSpanKind(trace.SpanKindConsumer), trace.WithLinks(links...),
			trace.WithAttributes(attribute.Int64("messaging.batch.message_count", requests)))
		defer span.End()
		// … make the reports …
		return nil
	})
	return errors.Join(err, provider.Shutdown(ctx))
}

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
