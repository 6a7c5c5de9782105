// gorm as docs/stacks.md sets it up.  Prints TAP lines.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/plugin/opentelemetry/tracing"
)

// A model without the column.
type Unaware struct {
	ID      int64
	Payload string
}

func (Unaware) TableName() string { return "jobs" }

func open(url string) *gorm.DB {
	db, err := openDatabase(url)
	must(err)
	return db
}

func column() string {
	var found string
	err := admin.QueryRow(context.Background(), `
		SELECT format_type(atttypid, atttypmod) || ' ' || pg_get_expr(adbin, adrelid)
		  FROM pg_attribute JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
		 WHERE attrelid = 'jobs'::regclass AND attname = 'trace_context'`).Scan(&found)
	if err == pgx.ErrNoRows {
		return ""
	}
	must(err)
	return found
}

func migrations(ctx context.Context, url string) {
	const captured = "otel.trace_context otel.current_trace_context()"
	db := open(url)
	must(db.AutoMigrate(&Unaware{}))
	must(db.Create(&Unaware{Payload: "old"}).Error)
	request(func(ctx context.Context) error { return db.WithContext(ctx).AutoMigrate(&Job{}) })
	is(column(), captured, "AutoMigrate makes the column")
	is(recorded(), []string{"NULL"}, "and leaves the rows that are there alone")
	must(db.AutoMigrate(&Job{}))
	is(column(), captured, "the second AutoMigrate leaves the column alone")
	must(db.AutoMigrate(&Unaware{}))
	is(column(), captured, "also that of a model without it")
}

func withComments(ctx context.Context, url string) {
	db := open(url)
	for i := 1; i <= 3; i++ {
		eachIsAClientSpan(fmt.Sprintf("Create, request %d", i), 1, func(ctx context.Context) error {
			return db.WithContext(ctx).Create(&Job{Payload: "x"}).Error
		})
	}
	eachIsAClientSpan("Create of a model without the column", 1, func(ctx context.Context) error {
		return db.WithContext(ctx).Create(&Unaware{Payload: "x"}).Error
	})
	eachIsAClientSpan("CreateInBatches", 5, func(ctx context.Context) error {
		return db.WithContext(ctx).CreateInBatches(make([]Job, 5), 2).Error
	})
	eachIsAClientSpan("OnConflict", 1, func(ctx context.Context) error {
		conflict := clause.OnConflict{UpdateAll: true}
		return db.WithContext(ctx).Clauses(conflict).Create(&Job{ID: 7777, Payload: "x"}).Error
	})
	eachIsAClientSpan("Transaction", 2, func(ctx context.Context) error {
		return db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
			return errorOf(tx.Create(&Job{Payload: "x"}), tx.Create(&Job{Payload: "y"}))
		})
	})
	job := Job{Payload: "x"}
	request(func(ctx context.Context) error { return db.WithContext(ctx).Create(&job).Error })
	var found Job
	must(db.First(&found, "trace_context = ?", job.TraceContext).Error)
	must(db.Model(&found).Update("payload", "y").Error)
	is([]any{found.ID, recorded()}, []any{job.ID, []string{*job.TraceContext}},
		"Create reads the context back, a job is found by it, and keeps it when it is saved again")
	unsampled := trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(
		trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, Remote: true}))
	must(db.WithContext(unsampled).Create(&Job{Payload: "x"}).Error)
	is(strings.HasSuffix(recorded()[0], "-00"), true,
		"an unsampled request's row says that it is not sampled")
}

func errorOf(results ...*gorm.DB) error {
	for _, result := range results {
		if result.Error != nil {
			return result.Error
		}
	}
	return nil
}

func create(db *gorm.DB) func(ctx context.Context, payload string) error {
	return func(ctx context.Context, payload string) error {
		return db.WithContext(ctx).Create(&Job{Payload: payload}).Error
	}
}

func keptStatements(url string) {
	db := open(url).Session(&gorm.Session{PrepareStmt: true})
	pool, err := db.DB()
	must(err)
	pool.SetMaxOpenConns(1)
	one := func(db *gorm.DB) func(context.Context) error {
		return func(ctx context.Context) error { return create(db)(ctx, "x") }
	}
	for i := 1; i <= 3; i++ {
		name := fmt.Sprintf("PrepareStmt, request %d", i)
		eachIsAClientSpan(name, 1, one(db))
	}
	db = db.Session(&gorm.Session{SkipDefaultTransaction: true})
	span := request(one(db))
	is(ofTrace(span), 1, "a kept statement, without transactions: the first execution is right")
	for i := 2; i <= 6; i++ {
		request(one(db))
	}
	is(recorded(), repeat("NULL", 5), "a kept statement: later executions have none")
	must(sendTraceContext(db))
	for i := 1; i <= 3; i++ {
		span := request(func(ctx context.Context) error {
			return db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
				return errorOf(tx.Create(&Job{Payload: "x"}), tx.Create(&Job{Payload: "y"}))
			})
		})
		is(recorded(), repeat(traceparent(span), 2),
			fmt.Sprintf("PrepareStmt, sendTraceContext: a transaction, request %d", i))
	}
}

// gorm's own instrumentation.
func plugin(url string) {
	db, err := gorm.Open(postgres.Open(url))
	must(err)
	must(db.Use(tracing.NewPlugin()))
	pool, err := db.DB()
	must(err)
	pool.SetMaxOpenConns(2)
	span := request(func(ctx context.Context) error { return create(db)(ctx, "x") })
	is(ofTrace(span), 0, "gorm's plugin sends no comment")

	is(wrongContexts(func(ctx context.Context, payload string) error {
		carrier := propagation.MapCarrier{}
		otel.GetTextMapPropagator().Inject(ctx, carrier)
		return errorOf(db.WithContext(ctx).Exec("SELECT otel.set_trace_context($1, NULL, false)",
			carrier["traceparent"]), db.WithContext(ctx).Create(&Job{Payload: payload}))
	}) > 0, true, "set_trace_context() by a query of its own: rows have another's context")

	pool.SetMaxOpenConns(1)
	must(db.Exec("RESET otel.traceparent").Error)
	pool.SetMaxOpenConns(2)
	must(sendTraceContext(db))
	for i := 1; i <= 3; i++ {
		span := request(func(ctx context.Context) error {
			return db.WithContext(ctx).CreateInBatches(make([]Job, 5), 2).Error
		})
		is(recorded(), repeat(traceparent(span), 5),
			fmt.Sprintf("sendTraceContext: CreateInBatches, request %d", i))
	}
	is(wrongContexts(create(db)), 0, "sendTraceContext: 20 requests at once")
	must(create(db)(context.Background(), "x"))
	is(recorded(), []string{"NULL"}, "sendTraceContext: nothing is left of the last request")
}

func main() {
	ctx := context.Background()
	setUp(ctx, os.Args[1])
	migrations(ctx, os.Args[1])
	withComments(ctx, os.Args[1])
	keptStatements(os.Args[1])
	plugin(os.Args[1])
}
