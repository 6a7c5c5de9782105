// River: the jsonb column of a job's metadata.  Prints TAP lines.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
	"github.com/riverqueue/rivercontrib/otelriver"
	"go.opentelemetry.io/otel/trace"
)

const somebodyElses = `{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}`

// The traces of what jobs have; see traces().
func stored(ids ...int64) []string {
	var contexts []identity
	for _, metadata := range texts(
		"SELECT metadata::text FROM river_job WHERE id = ANY ($1) ORDER BY id", ids) {
		contexts = append(contexts, contextOf([]byte(metadata)))
	}
	return traces(contexts...)
}

func isInState(id int64, state rivertype.JobState) func() bool {
	return func() bool {
		return texts("SELECT state::text FROM river_job WHERE id = $1", id)[0] == string(state)
	}
}

type Report struct {
	Fails int    `json:"fails"`
	Text  string `json:"text"`
}

func (Report) Kind() string { return "report" }

// What a worker saw of a job at each attempt.
var seen struct {
	sync.Mutex
	metadata map[int64][][]byte
}

type ReportWorker struct{ river.WorkerDefaults[Report] }

func (*ReportWorker) NextRetry(*river.Job[Report]) time.Time { return time.Now() }

func (*ReportWorker) Work(ctx context.Context, job *river.Job[Report]) error {
	seen.Lock()
	defer seen.Unlock()
	seen.metadata[job.ID] = append(seen.metadata[job.ID], job.Metadata)
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

func insert(c *river.Client[pgx.Tx], args Report,
	options river.InsertOpts) (id int64, traceID trace.TraceID) {
	traceID = request(func(ctx context.Context) {
		result, err := c.Insert(ctx, args, &options)
		must(err)
		id = result.Job.ID
	})
	return id, traceID
}

func insertInSQL(queue string) (id int64, traceID trace.TraceID) {
	traceID = request(func(ctx context.Context) {
		must(pool.QueryRow(ctx, `INSERT INTO river_job (kind, args, queue, max_attempts)
			VALUES ('report', '{}', $1, 3) RETURNING id`, queue).Scan(&id))
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
	id, traceID := insertInSQL("hold")
	is(stored(id), []any{traceID}, "which captures after them")
	plain("SELECT otel.remove_capture('river_job', 'metadata')")
}

func testRunningClient(c *river.Client[pgx.Tx]) {
	here := river.InsertOpts{Queue: river.QueueDefault}
	must(c.Start(background))
	early, _ := insert(c, Report{}, here)
	until(isInState(early, rivertype.JobStateCompleted))
	plain(documented("capture.sql"))
	id, traceID := insert(c, Report{Fails: 1}, here)
	until(isInState(id, rivertype.JobStateCompleted))
	is(stored(id), []any{traceID}, "a client that runs since before the trigger goes on")
	seen.Lock()
	attempts := seen.metadata[id]
	seen.Unlock()
	is([]any{len(attempts), traces(contextOf(attempts[0]), contextOf(attempts[1]))},
		[]any{2, []any{traceID, traceID}}, "a worker sees it in the metadata, retried as well")
	here.MaxAttempts = 2
	id, traceID = insert(c, Report{Fails: 9}, here)
	until(isInState(id, rivertype.JobStateDiscarded))
	is(stored(id), []any{traceID}, "a job that failed for good keeps it")
	must(c.Stop(background))
}

func testInserts(c *river.Client[pgx.Tx]) {
	var ids []int64
	two := []river.InsertManyParams{{Args: Report{}}, {Args: Report{}}}
	traceID := request(func(ctx context.Context) {
		results, err := c.InsertMany(ctx, two)
		must(err)
		for _, result := range results {
			ids = append(ids, result.Job.ID)
		}
	})
	is(stored(ids...), []any{traceID, traceID}, "InsertMany")

	highest := ids[1]
	traceID = request(func(ctx context.Context) {
		_, err := c.InsertManyFast(ctx, two)
		must(err)
	})
	is(stored(highest+1, highest+2), []any{traceID, traceID}, "InsertManyFast, which is COPY")

	traceID = request(func(ctx context.Context) {
		tx, err := pool.Begin(ctx)
		must(err)
		result, err := c.InsertTx(ctx, tx, Report{}, nil)
		must(err)
		highest = result.Job.ID
		must(tx.Commit(ctx))
	})
	is(stored(highest), []any{traceID}, "InsertTx")
	id, traceID := insertInSQL("hold")
	is(stored(id), []any{traceID}, "a job that SQL inserts")
}

func testUnique(c *river.Client[pgx.Tx]) {
	options := river.InsertOpts{
		Queue: "hold", UniqueOpts: river.UniqueOpts{ByArgs: true, ByQueue: true}}
	id, traceID := insert(c, Report{Fails: 7}, options)
	second, _ := insert(c, Report{Fails: 7}, options)
	is([]any{second, stored(id)}, []any{id, []any{traceID}},
		"a unique job's duplicate leaves the first one's")
	_, err := c.JobCancel(background, id)
	must(err)
	_, err = c.JobRetry(background, id)
	must(err)
	is(stored(id), []any{traceID}, "a job that is cancelled and retried by hand keeps it")
}

// The metadata of jobs that have some already, of any kind, and a large payload.
func testOdd(c *river.Client[pgx.Tx]) {
	for _, metadata := range []string{somebodyElses, `[1, {"n": 2}]`, `"text"`, "7", "true"} {
		id, _ := insert(c, Report{}, river.InsertOpts{Queue: "odd", Metadata: []byte(metadata)})
		is(texts("SELECT metadata::text FROM river_job WHERE id = $1", id), []string{metadata},
			"metadata that stays: "+metadata)
	}
	for _, metadata := range []string{`{"otel": {"n": 1}}`, `{"traceparent": "none"}`, "null"} {
		id, traceID := insert(c, Report{}, river.InsertOpts{
			Queue: "odd", Metadata: []byte(metadata)})
		is(stored(id), []any{traceID}, "metadata that gets the context: "+metadata)
	}
	large := strings.Repeat("x", 10_000_000)
	metadata, err := json.Marshal(map[string]string{"text": large})
	must(err)
	id, traceID := insert(c, Report{Text: large}, river.InsertOpts{
		Queue: "odd", Metadata: metadata})
	is([]any{stored(id), texts(`SELECT concat(length(args->>'text'), ' ',
		length(metadata->>'text')) FROM river_job WHERE id = $1`, id)},
		[]any{[]any{traceID}, []any{"10000000 10000000"}}, "ten megabytes of each")
}

// otelriver propagates contexts in the same column.
func testOtelriver() {
	plugin := otelriver.NewMiddleware(&otelriver.MiddlewareConfig{EnableTracePropagation: true})
	c := client(pool, "traced", plugin)
	id, traceID := insert(c, Report{}, river.InsertOpts{Queue: "traced"})
	is(stored(id), []any{traceID}, "otelriver's propagation is left as it is")
	_, traceID = insertInSQL("traced")
	must(c.Start(background))
	linked := func() bool {
		return slices.ContainsFunc(received(), func(span span) bool {
			return slices.ContainsFunc(span.Links, func(link identity) bool {
				return link.TraceID == traceID.String()
			})
		})
	}
	until(linked)
	is(linked(), true, "otelriver's own span of the work is linked to who inserted by SQL")
	must(c.Stop(background))
}

func main() {
	connect()
	seen.metadata = map[int64][][]byte{}
	testMigrations()
	before := shape("river_job")
	c := client(pool, river.QueueDefault)
	testRunningClient(c)
	testInserts(c)
	testUnique(c)
	testOdd(c)
	testOtelriver()

	items := river.InsertOpts{Queue: "items"}
	var requests []string
	for range 20 {
		_, traceID := insert(c, Report{}, items)
		requests = append(requests, traceID.String())
	}
	linked := linkedTraces()
	slices.Sort(linked)
	slices.Sort(requests)
	is(linked, requests, "a batch span is linked to every job's request")

	plain("SELECT otel.remove_capture('river_job', 'metadata')")
	is(shape("river_job"), before, "taken off, the table is as it was")
	id, _ := insert(c, Report{}, items)
	is(texts("SELECT metadata::text FROM river_job WHERE id = $1", id), []string{"{}"},
		"and nothing is captured")
	must(provider.Shutdown(background))
}
