//! tokio-postgres and sqlx with statements that carry a comment. Prints TAP lines.

use futures_util::{future::try_join_all, SinkExt};
use sqlx::{postgres::PgPoolOptions, AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use std::{env, error::Error, time::Duration};
use tokio_postgres::{types::Type, Client, NoTls};

type Outcome = Result<(), Box<dyn Error>>;

const TAKE: &str = "SELECT take_recorded()";

fn traceparent(request: u8) -> String {
    format!("00-4bf92f3577b34da6a3ce929d0e0e473{request}-00f067aa0ba902b7-01")
}

fn comment(request: u8) -> String {
    format!("/*traceparent='{}'*/", traceparent(request))
}

fn insert(request: u8) -> String {
    format!("INSERT INTO prepared_jobs (how) VALUES ($1) {}", comment(request))
}

fn is(got: &str, expected: &str, what: &str) {
    if got == expected {
        println!("ok - {what}: {expected}");
    } else {
        println!("not ok - {what}: {expected}\n# got {got}");
    }
}

async fn connect() -> Result<Client, Box<dyn Error>> {
    let conninfo = format!(
        "host={} port={} user={} dbname={}",
        env::var("PGHOST")?,
        env::var("PGPORT")?,
        env::var("PGUSER")?,
        env::var("PGDATABASE")?
    );
    let (client, connection) = tokio_postgres::connect(&conninfo, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn taken(client: &Client) -> Result<String, tokio_postgres::Error> {
    client.query_one(TAKE, &[]).await?.try_get(0)
}

async fn try_tokio_postgres() -> Outcome {
    let mut client = connect().await?;

    let kept = client.prepare(&insert(1)).await?;
    for _ in 0..3 {
        client.execute(&kept, &[&"x"]).await?;
    }
    is(&taken(&client).await?, "1--", "tokio-postgres, prepare(), three requests");
    let early = client.prepare(&insert(1)).await?;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    client.execute(&early, &[&"x"]).await?;
    is(&taken(&client).await?, "-", "tokio-postgres, prepared when the program started");
    for request in 2..5 {
        client.execute(&insert(request), &[&"x"]).await?;
    }
    is(&taken(&client).await?, "234", "tokio-postgres, a text for each request");
    for request in 2..5 {
        client.execute_typed(&insert(request), &[(&"x", Type::TEXT)]).await?;
    }
    is(&taken(&client).await?, "234", "tokio-postgres, execute_typed()");
    for _ in 0..3 {
        client.execute(&insert(1), &[&"x"]).await?;
    }
    is(&taken(&client).await?, "111", "tokio-postgres, the same text in three requests");

    let transaction = client.transaction().await?;
    let kept = transaction.prepare(&insert(5)).await?;
    try_join_all((0..5).map(|_| transaction.execute(&kept, &[&"x"]))).await?;
    transaction.commit().await?;
    is(&taken(&client).await?, "55555", "tokio-postgres, a pipeline in a transaction");
    let kept = client.prepare(&insert(6)).await?;
    try_join_all((0..3).map(|_| client.execute(&kept, &[&"x"]))).await?;
    is(&taken(&client).await?, "6--", "tokio-postgres, a pipeline of transactions of their own");
    let literal = "INSERT INTO prepared_jobs (how) VALUES ('x')";
    client.batch_execute(&format!("BEGIN; {literal}; {literal}; COMMIT {}", comment(7))).await?;
    is(&taken(&client).await?, "77", "tokio-postgres, batch_execute()");

    let transaction = client.transaction().await?;
    transaction.execute("SELECT otel.set_trace_context($1)", &[&traceparent(8)]).await?;
    let sink = transaction.copy_in("COPY prepared_jobs (how) FROM STDIN").await?;
    let mut sink = std::pin::pin!(sink);
    sink.send("a\nb\n".as_bytes()).await?;
    sink.close().await?;
    transaction.commit().await?;
    is(&taken(&client).await?, "88", "tokio-postgres, copy_in() after set_trace_context()");
    Ok(())
}

fn url() -> Result<String, env::VarError> {
    Ok(format!(
        "postgres://{}@127.0.0.1:{}/{}",
        env::var("PGUSER")?,
        env::var("PGPORT")?,
        env::var("PGDATABASE")?
    ))
}

async fn recorded(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    sqlx::query_scalar(TAKE).fetch_one(connection).await
}

async fn try_sqlx() -> Outcome {
    let mut connection = PgConnection::connect(&url()?).await?;
    let bound =
        |request, kept| sqlx::query(AssertSqlSafe(insert(request))).bind("x").persistent(kept);

    for _ in 0..3 {
        bound(1, true).execute(&mut connection).await?;
    }
    is(&recorded(&mut connection).await?, "1--", "sqlx, its cache of statements, three requests");
    for _ in 0..3 {
        bound(1, false).execute(&mut connection).await?;
    }
    is(
        &recorded(&mut connection).await?,
        "---",
        "sqlx, persistent(false) finds what is in the cache",
    );
    for _ in 0..3 {
        bound(2, false).execute(&mut connection).await?;
    }
    is(&recorded(&mut connection).await?, "222", "sqlx, persistent(false), the same text again");
    for request in 3..6 {
        bound(request, true).execute(&mut connection).await?;
    }
    is(&recorded(&mut connection).await?, "345", "sqlx, a text for each request");
    let mut transaction = connection.begin().await?;
    for _ in 0..4 {
        bound(6, true).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    is(&recorded(&mut connection).await?, "6666", "sqlx, four rows of one transaction");
    let literal = "INSERT INTO prepared_jobs (how) VALUES ('x')";
    let script = format!("{literal}; {literal} {}", comment(7));
    connection.execute(AssertSqlSafe(script)).await?;
    is(&recorded(&mut connection).await?, "77", "sqlx, two statements without parameters");

    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT otel.set_trace_context($1)")
        .bind(traceparent(8))
        .execute(&mut *transaction)
        .await?;
    let mut copy = transaction.copy_in_raw("COPY prepared_jobs (how) FROM STDIN").await?;
    copy.send("a\nb\n".as_bytes()).await?;
    copy.finish().await?;
    transaction.commit().await?;
    is(&recorded(&mut connection).await?, "88", "sqlx, copy_in_raw() after set_trace_context()");
    connection.close().await?;
    Ok(())
}

/// Sends its context by the comment, or by the setting over one kept statement.
async fn request(pool: PgPool, number: u8) -> Result<(), sqlx::Error> {
    let sent = format!("00-4bf92f3577b34da6a3ce929d0e0e47{number:02}-00f067aa0ba902b7-01");
    let plain = "INSERT INTO prepared_jobs (how) VALUES ($1)";
    if number < 20 {
        let text = format!("{plain} /*traceparent='{sent}'*/");
        sqlx::query(AssertSqlSafe(text)).bind(&sent).execute(&pool).await?;
        return Ok(());
    }
    let mut transaction = pool.begin().await?;
    sqlx::query("SELECT otel.set_trace_context($1)").bind(&sent).execute(&mut *transaction).await?;
    sqlx::query(plain).bind(&sent).execute(&mut *transaction).await?;
    transaction.commit().await
}

/// Many requests on few connections; each row says which context its request sent.
async fn try_sqlx_pool() -> Outcome {
    let pool = PgPoolOptions::new().max_connections(2).connect(&url()?).await?;
    let mut requests = tokio::task::JoinSet::new();
    for number in 0..40 {
        requests.spawn(request(pool.clone(), number));
    }
    while let Some(finished) = requests.join_next().await {
        finished??;
    }
    let counts: String = sqlx::query_scalar(
        "WITH gone AS (DELETE FROM prepared_jobs
                       RETURNING how, otel.traceparent(trace_context) AS got)
         SELECT format('%s rows, %s NULL, %s wrong', count(*),
                       count(*) FILTER (WHERE got IS NULL), count(*) FILTER (WHERE got <> how))
         FROM gone",
    )
    .fetch_one(&pool)
    .await?;
    is(&counts, "40 rows, 0 NULL, 0 wrong", "sqlx, 40 requests on a pool of two connections");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    try_tokio_postgres().await?;
    try_sqlx().await?;
    try_sqlx_pool().await
}
