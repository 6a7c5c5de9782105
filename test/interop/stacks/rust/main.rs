//! sqlx and tokio-postgres as docs/stacks.md sets them up. Prints TAP lines.

mod client;
mod context;
mod database;
mod model;

use context::carrier;
use database::commented;
use futures_util::{future::try_join_all, SinkExt};
use model::Job;
use opentelemetry::{global, trace::TracerProvider};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{InMemorySpanExporter, Sampler, SdkTracerProvider},
};
use sqlx::{postgres::PgPoolOptions, Executor, PgConnection, PgPool};
use std::{env, error::Error, fmt::Debug, future::Future};
use tracing::Instrument;
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

type Outcome = Result<(), Box<dyn Error>>;

const INSERT: &str = "INSERT INTO jobs (payload) VALUES ($1)";

fn is<T: PartialEq + Debug>(got: T, expected: T, name: &str) {
    if got == expected {
        println!("ok - rust: {name}");
    } else {
        println!("not ok - rust: {name}\n# got {got:?}, expected {expected:?}");
    }
}

/// Does work in the span of a request, which is exported when it ends.
async fn request<T>(work: impl Future<Output = T>) -> T {
    work.instrument(tracing::info_span!("request")).await
}

/// The traceparents of the spans that were exported since the last call.
fn exported(exporter: &InMemorySpanExporter) -> Vec<String> {
    let spans = exporter.get_finished_spans().expect("spans");
    exporter.reset();
    let traceparent = |context: &opentelemetry::trace::SpanContext| {
        format!(
            "00-{}-{}-{:02x}",
            context.trace_id(),
            context.span_id(),
            context.trace_flags().to_u8()
        )
    };
    spans.iter().map(|span| traceparent(&span.span_context)).collect()
}

/// The contexts of the rows since the last call, in their order.
async fn recorded(admin: &PgPool) -> sqlx::Result<Vec<Option<String>>> {
    let mut jobs: Vec<Job> =
        sqlx::query_as("DELETE FROM jobs RETURNING *").fetch_all(admin).await?;
    jobs.sort_by_key(|job| job.id);
    assert!(jobs.iter().all(|job| !job.payload.is_empty()));
    Ok(jobs.into_iter().map(|job| job.trace_context).collect())
}

fn repeat(context: &str, times: usize) -> Vec<Option<String>> {
    vec![Some(context.to_owned()); times]
}

async fn insert_in_transaction(pool: &PgPool, payload: &str) -> sqlx::Result<()> {
    let mut transaction = database::begin(pool).await?;
    sqlx::query(INSERT).bind(payload).execute(&mut *transaction).await?;
    transaction.commit().await
}

async fn insert_with_comment(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::query(commented(INSERT)).bind("x").persistent(false).execute(pool).await?;
    Ok(())
}

async fn copy_and_more(pool: &PgPool) -> sqlx::Result<()> {
    let mut transaction = database::begin(pool).await?;
    for _ in 0..2 {
        sqlx::query(INSERT).bind("x").execute(&mut *transaction).await?;
    }
    let mut copy = transaction.copy_in_raw("COPY jobs (payload) FROM STDIN").await?;
    copy.send("a\nb\n".as_bytes()).await?;
    copy.finish().await?;
    transaction.commit().await
}

async fn check_sqlx(admin: &PgPool, url: &str, exporter: &InMemorySpanExporter) -> Outcome {
    let pool = PgPoolOptions::new().max_connections(2).connect(url).await?;
    for number in 1..=3 {
        request(insert_in_transaction(&pool, "x")).await?;
        let expected = repeat(&exported(exporter)[0], 1);
        is(recorded(admin).await?, expected, &format!("sqlx, begin(): request {number}"));
        request(insert_with_comment(&pool)).await?;
        let expected = repeat(&exported(exporter)[0], 1);
        is(recorded(admin).await?, expected, &format!("sqlx, commented(): request {number}"));
    }
    request(copy_and_more(&pool)).await?;
    let expected = repeat(&exported(exporter)[0], 4);
    is(recorded(admin).await?, expected, "sqlx, begin(): two statements and COPY");
    insert_in_transaction(&pool, "x").await?;
    insert_with_comment(&pool).await?;
    is(recorded(admin).await?, vec![None, None], "sqlx: without a span there is no context");

    let right = try_join_all((0..20).map(|_| {
        let pool = pool.clone();
        request(async move {
            let sent = carrier()["traceparent"].clone();
            insert_in_transaction(&pool, &sent).await
        })
    }));
    right.await?;
    let right: i64 = sqlx::query_scalar("SELECT count(*) FROM jobs WHERE payload = trace_context")
        .fetch_one(admin)
        .await?;
    is(right, 20, "sqlx: 20 requests at once on 2 connections, each with its own context");
    recorded(admin).await?;
    exporter.reset();
    Ok(())
}

/// What the hooks of the pool would send: the context of the moment, for the session.
async fn set_for_session(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("SELECT otel.set_trace_context($1, NULL, false)")
        .bind(carrier().get("traceparent"))
        .execute(connection)
        .await?;
    Ok(())
}

async fn check_wrong_hooks(admin: &PgPool, url: &str, exporter: &InMemorySpanExporter) -> Outcome {
    let insert = |pool: PgPool| async move { sqlx::query(INSERT).bind("x").execute(&pool).await };
    let options = || PgPoolOptions::new().max_connections(1);
    let pool = options()
        .after_connect(|connection, _| Box::pin(set_for_session(connection)))
        .connect_lazy(url)?;
    for _ in 0..2 {
        request(insert(pool.clone())).await?;
    }
    let expected = repeat(&exported(exporter)[0], 2);
    is(recorded(admin).await?, expected, "sqlx, after_connect: the second request has the first's");

    let pool = options()
        .before_acquire(|connection, _| {
            Box::pin(async { set_for_session(connection).await.map(|_| true) })
        })
        .connect_lazy(url)?;
    for _ in 0..2 {
        request(insert(pool.clone())).await?;
    }
    let expected = vec![None, Some(exported(exporter)[1].clone())];
    is(recorded(admin).await?, expected, "sqlx, before_acquire: not for a new connection");
    Ok(())
}

async fn insert_by_client(client: &mut tokio_postgres::Client) -> Result<(), Box<dyn Error>> {
    let transaction = client::begin(client).await?;
    transaction.execute(INSERT, &[&"x"]).await?;
    let kept = transaction.prepare(INSERT).await?;
    try_join_all((0..3).map(|_| transaction.execute(&kept, &[&"x"]))).await?;
    let mut sink = Box::pin(transaction.copy_in("COPY jobs (payload) FROM STDIN").await?);
    sink.send("a\nb\n".as_bytes()).await?;
    sink.close().await?;
    Ok(transaction.commit().await?)
}

async fn check_client(admin: &PgPool, url: &str, exporter: &InMemorySpanExporter) -> Outcome {
    let (mut client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    for number in 1..=2 {
        request(insert_by_client(&mut client)).await?;
        let expected = repeat(&exported(exporter)[0], 6);
        let name = format!("tokio-postgres, begin(): a pipeline and COPY, request {number}");
        is(recorded(admin).await?, expected, &name);
    }
    insert_by_client(&mut client).await?;
    is(recorded(admin).await?, vec![None; 6], "tokio-postgres: without a span there is no context");

    client.batch_execute("CREATE TABLE typed (id int, trace_context otel.trace_context)").await?;
    let sent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let write = "INSERT INTO typed VALUES (1, $1)";
    is(client.execute(write, &[&sent]).await.is_err(), true, "tokio-postgres refuses a string");
    client.execute("INSERT INTO typed VALUES (1, $1::text)", &[&sent]).await?;
    let row = client.query_one("SELECT trace_context FROM typed", &[]).await?;
    is(row.try_get::<_, String>(0).is_err(), true, "tokio-postgres does not read it as a string");
    let row = client.query_one("SELECT trace_context::text FROM typed", &[]).await?;
    is(
        row.try_get::<_, String>(0)?,
        sent.to_owned(),
        "tokio-postgres with casts to text and from it",
    );

    for _ in 0..2 {
        request(async {
            if exporter.get_finished_spans().expect("spans").is_empty() {
                let sent = carrier()["traceparent"].clone();
                client.execute("SELECT otel.set_trace_context($1, NULL, false)", &[&sent]).await?;
            }
            client.execute(INSERT, &[&"x"]).await
        })
        .await?;
    }
    let expected = repeat(&exported(exporter)[0], 2);
    is(recorded(admin).await?, expected, "tokio-postgres, set once: all have the first's context");
    Ok(())
}

fn provider(sampler: Sampler, exporter: &InMemorySpanExporter) -> SdkTracerProvider {
    SdkTracerProvider::builder()
        .with_sampler(sampler)
        .with_simple_exporter(exporter.clone())
        .build()
}

async fn check_unsampled(admin: &PgPool, url: &str) -> Outcome {
    let exporter = InMemorySpanExporter::default();
    let tracer = provider(Sampler::AlwaysOff, &exporter).tracer("test");
    let layer = tracing_opentelemetry::layer().with_tracer(tracer);
    let guard = tracing_subscriber::registry().with(layer).set_default();
    let pool = PgPool::connect(url).await?;
    request(insert_in_transaction(&pool, "x")).await?;
    request(insert_with_comment(&pool)).await?;
    drop(guard);
    let flags: Vec<_> = recorded(admin)
        .await?
        .into_iter()
        .map(|context| context.map(|text| text[53..].to_owned()))
        .collect();
    is(flags, repeat("00", 2), "an unsampled request's rows have a context that says so");
    is(exported(&exporter).len(), 0, "an unsampled request's span is not exported");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let (user, port) = (env::var("PGUSER")?, env::var("PGPORT")?);
    let url = format!("postgres://{user}@127.0.0.1:{port}/{}", env::var("PGDATABASE")?);
    let admin = PgPoolOptions::new().max_connections(1).connect(&url).await?;
    admin.execute("SET client_min_messages = warning").await?;
    sqlx::migrate!().run(&admin).await?;
    sqlx::migrate!().run(&admin).await?;

    global::set_text_map_propagator(TraceContextPropagator::new());
    check_unsampled(&admin, &url).await?;
    let exporter = InMemorySpanExporter::default();
    let tracer = provider(Sampler::AlwaysOn, &exporter).tracer("test");
    tracing_subscriber::registry().with(tracing_opentelemetry::layer().with_tracer(tracer)).init();
    check_sqlx(&admin, &url, &exporter).await?;
    check_wrong_hooks(&admin, &url, &exporter).await?;
    check_client(&admin, &url, &exporter).await
}
