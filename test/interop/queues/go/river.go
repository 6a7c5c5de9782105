// River: the jsonb column of a job's metadata.  Prints TAP lines.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
	"github.com/riverqueue/rivercontrib/otelriver"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

var (
	background = context.Background()
	recorder   = tracetest.NewSpanRecorder()
	admin      *pgx.Conn
	pool       *pgxpool.Pool
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func is(got, expected any, name string) {
	if fmt.Sprint(got) == fmt.Sprint(expected) {
		fmt.Println("ok - river:", name)
	} else {
		fmt.Printf("not ok - river: %s\n# got %v, expected %v\n", name, got, expected)
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

// The jobs' traces; "unknown" where the SDK exported no such span.
func stored(ids ...int64) []string {
	exported := map[string]bool{}
	for _, span := range recorder.Ended() {
		c := span.SpanContext()
		exported[c.TraceID().String()+c.SpanID().String()] = true
	}
	var traces []string
	for _, context := range texts(`SELECT coalesce(otel.trace_id(c) || otel.span_id(c), 'NULL')
		FROM river_job, otel.extract(metadata) c WHERE id = ANY ($1) ORDER BY id`, ids) {
		switch {
		case context == "NULL":
			traces = append(traces, context)
		case exported[context]:
			traces = append(traces, context[:32])
		default:
			traces = append(traces, "unknown")
		}
	}
	return traces
}

func isDone(id int64) bool {
	return texts("SELECT state::text FROM river_job WHERE id = $1", id)[0] == "completed"
}

func until(condition func() bool) {
	for range 300 {
		if condition() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	panic("in vain")
}

type Report struct {
	Fails int `json:"fails"`
}

func (Report) Kind() string { return "report" }

// What a worker saw of a job at each attempt.
var seen struct {
	sync.Mutex
	traces map[int64][]string
}

type ReportWorker struct{ river.WorkerDefaults[Report] }

func (*ReportWorker) NextRetry(*river.Job[Report]) time.Time { return time.Now() }

func (*ReportWorker) Work(ctx context.Context, job *river.Job[Report]) error {
	var id *string
	err := pool.QueryRow(ctx, "SELECT otel.trace_id(otel.extract($1::jsonb))",
		job.Metadata).Scan(&id)
	if err != nil {
		return err
	}
	seen.Lock()
	defer seen.Unlock()
	if id != nil {
		seen.traces[job.ID] = append(seen.traces[job.ID], *id)
	}
	if job.Attempt <= job.Args.Fails {
		return errors.New("as the test wants it")
	}
	return nil
}

func client(pool *pgxpool.Pool, queue string,
	plugins ...rivertype.Plugin) *river.Client[pgx.Tx] {
	workers := river.NewWorkers()
	river.AddWorker(workers, &ReportWorker{})
	made, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Queues:            map[string]river.QueueConfig{queue: {MaxWorkers: 5}},
		Workers:           workers,
		Plugins:           plugins,
		Logger:            slog.New(slog.NewTextHandler(io.Discard, nil)),
		FetchPollInterval: 100 * time.Millisecond,
	})
	must(err)
	return made
}

func insert(c *river.Client[pgx.Tx], args Report, queue string) (id int64, traceID trace.TraceID) {
	traceID = request(func(ctx context.Context) {
		result, err := c.Insert(ctx, args, &river.InsertOpts{Queue: queue})
		must(err)
		id = result.Job.ID
	})
	return id, traceID
}

func testMigrations() {
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	must(err)
	_, err = migrator.Migrate(background, rivermigrate.DirectionUp,
		&rivermigrate.MigrateOpts{TargetVersion: 4})
	must(err)
	plain(documented("capture.sql"))
	_, err = migrator.Migrate(background, rivermigrate.DirectionUp, nil)
	is(err, nil, "the library's migrations from version 4 on run over the trigger")
	plain("SELECT otel.remove_capture('river_job', 'metadata')")
}

func testInserts(c *river.Client[pgx.Tx]) {
	var ids []int64
	traceID := request(func(ctx context.Context) {
		results, err := c.InsertMany(ctx, []river.InsertManyParams{
			{Args: Report{}}, {Args: Report{}}})
		must(err)
		for _, result := range results {
			ids = append(ids, result.Job.ID)
		}
	})
	is(stored(ids...), []any{traceID, traceID}, "InsertMany")

	highest := texts("SELECT max(id)::text FROM river_job")[0]
	traceID = request(func(ctx context.Context) {
		_, err := c.InsertManyFast(ctx, []river.InsertManyParams{
			{Args: Report{}}, {Args: Report{}}})
		must(err)
	})
	is(texts(`SELECT otel.trace_id(otel.extract(metadata)) FROM river_job
		WHERE id > $1::bigint`, highest), []any{traceID, traceID}, "InsertManyFast, which is COPY")

	id := int64(0)
	must(admin.QueryRow(background, `INSERT INTO river_job (kind, args, queue, max_attempts)
		VALUES ('report', '{}', 'hold', 3) RETURNING id
		/*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/`,
		pgx.QueryExecModeExec).Scan(&id))
	is(texts("SELECT otel.trace_id(otel.extract(metadata)) FROM river_job WHERE id = $1", id),
		[]string{"4bf92f3577b34da6a3ce929d0e0e4736"}, "a job that SQL inserts")
}

func testUnique(c *river.Client[pgx.Tx]) {
	options := &river.InsertOpts{
		Queue: "hold", UniqueOpts: river.UniqueOpts{ByArgs: true, ByQueue: true}}
	var first, second *rivertype.JobInsertResult
	var err error
	traceID := request(func(ctx context.Context) {
		first, err = c.Insert(ctx, Report{Fails: 7}, options)
		must(err)
	})
	request(func(ctx context.Context) {
		second, err = c.Insert(ctx, Report{Fails: 7}, options)
		must(err)
	})
	is([]any{second.UniqueSkippedAsDuplicate, stored(first.Job.ID)},
		[]any{true, []any{traceID}}, "a unique job's duplicate leaves the first one's")
	_, err = c.JobCancel(background, first.Job.ID)
	must(err)
	_, err = c.JobRetry(background, first.Job.ID)
	must(err)
	is(stored(first.Job.ID), []any{traceID}, "a job that is cancelled and retried by hand keeps it")
}

// otelriver propagates contexts in the same column.
func testOtelriver() {
	plugin := otelriver.NewMiddleware(&otelriver.MiddlewareConfig{EnableTracePropagation: true})
	c := client(pool, "traced", plugin)
	id, traceID := insert(c, Report{}, "traced")
	is(stored(id), []any{traceID}, "otelriver's propagation is left as it is")
	plain(`INSERT INTO river_job (kind, args, queue, max_attempts)
		VALUES ('report', '{}', 'traced', 3)
		/*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/`)
	must(c.Start(background))
	linked := func() bool {
		return slices.ContainsFunc(recorder.Ended(), func(span sdktrace.ReadOnlySpan) bool {
			return slices.ContainsFunc(span.Links(), func(link sdktrace.Link) bool {
				return link.SpanContext.TraceID().String() == "4bf92f3577b34da6a3ce929d0e0e4736"
			})
		})
	}
	until(linked)
	is(linked(), true, "otelriver's own span of the work is linked to who inserted by SQL")
	must(c.Stop(background))
}

func main() {
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)))
	otel.SetTextMapPropagator(propagation.TraceContext{})
	seen.traces = map[int64][]string{}
	config, err := pgx.ParseConfig(os.Args[1])
	must(err)
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	admin, err = pgx.ConnectConfig(background, config)
	must(err)
	pool, err = openPool(background, os.Args[1])
	must(err)
	testMigrations()

	c := client(pool, river.QueueDefault)
	must(c.Start(background))
	early, _ := insert(c, Report{}, river.QueueDefault)
	until(func() bool { return isDone(early) })
	plain(documented("capture.sql"))
	id, traceID := insert(c, Report{Fails: 1}, river.QueueDefault)
	until(func() bool { return isDone(id) })
	is(stored(id), []any{traceID}, "a client that runs since before the trigger goes on")
	is(seen.traces[id], []any{traceID, traceID},
		"a worker sees it in the metadata, retried as well")
	must(c.Stop(background))
	testInserts(c)
	testUnique(c)
	testOtelriver()

	var traces []string
	for range 20 {
		_, traceID := insert(c, Report{}, "items")
		traces = append(traces, traceID.String())
	}
	plain("BEGIN")
	plain(documented("batch.sql"))
	plain("SELECT otel.end_span(); COMMIT")
	slices.Sort(traces)
	is(texts(`SELECT trace_id FROM otel.span_queue, otel.span_links(links)
		WHERE name = 'process items' ORDER BY trace_id`), traces,
		"a batch span is linked to every job")
	plain("SELECT otel.remove_capture('river_job', 'metadata')")
	id, _ = insert(c, Report{}, "items")
	is(texts("SELECT metadata::text FROM river_job WHERE id = $1", id), []string{"{}"},
		"taken off, nothing is captured")
}
