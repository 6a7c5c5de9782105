//! What tokio-postgres and sqlx do with otel.trace_context. Prints TAP lines.

use sqlx::{postgres::PgPoolOptions, Row};
use std::{env, error::Error, fmt::Debug};
use tokio_postgres::{
    types::{ToSql, Type},
    NoTls, SimpleQueryMessage,
};

const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const STATE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03;rojo=1,congo=2";
const CREATE: &str = "CREATE TEMPORARY TABLE items (id int, context otel.trace_context)";

fn is<T: PartialEq + Debug>(got: T, expected: T, name: &str) {
    if got == expected {
        println!("ok - {name}");
    } else {
        println!("not ok - {name}\n# got {got:?}, expected {expected:?}");
    }
}

fn url() -> Result<String, env::VarError> {
    let (user, port) = (env::var("PGUSER")?, env::var("PGPORT")?);
    Ok(format!("postgres://{user}@127.0.0.1:{port}/{}", env::var("PGDATABASE")?))
}

async fn try_tokio_postgres() -> Result<(), Box<dyn Error>> {
    let (client, connection) = tokio_postgres::connect(&url()?, NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute(CREATE).await?;
    let insert = "INSERT INTO items VALUES ($1, $2)";
    let cast = "INSERT INTO items VALUES ($1, $2::text)";

    is(client.execute(insert, &[&1, &SAMPLED]).await.is_err(), true, "tokio-postgres: no &str");
    let none = None::<&str>;
    is(client.execute(insert, &[&1, &none]).await.is_err(), true, "tokio-postgres: no None of it");
    client.execute(cast, &[&1, &SAMPLED]).await?;
    client.execute(cast, &[&2, &STATE]).await?;
    client.execute(cast, &[&3, &none]).await?;
    let typed: [(&(dyn ToSql + Sync), Type); 2] = [(&4, Type::INT4), (&SAMPLED, Type::TEXT)];
    client.execute_typed(insert, &typed).await?;
    let rows = client.query("SELECT context::text FROM items ORDER BY id", &[]).await?;
    let read: Vec<Option<String>> = rows.iter().map(|row| row.get(0)).collect();
    let written = [Some(SAMPLED), Some(STATE), None, Some(SAMPLED)];
    let written: Vec<_> = written.iter().map(|value| value.map(str::to_owned)).collect();
    is(read, written, "tokio-postgres: &str and None with casts, or execute_typed()");

    let row = client.query_one("SELECT context FROM items WHERE id = 1", &[]).await?;
    is(row.try_get::<_, String>(0).is_err(), true, "tokio-postgres: without a cast no String");
    let read: Vec<_> = client
        .simple_query("SELECT context FROM items WHERE id = 2")
        .await?
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
        .collect();
    is(read, vec![STATE.to_owned()], "tokio-postgres: simple_query() reads a string");
    let error = client.execute(cast, &[&9, &"nope"]).await.unwrap_err();
    is(error.code().map(|code| code.code()), Some("22P02"), "tokio-postgres: 22P02");
    let compare = "SELECT id FROM items WHERE context = $1::text::otel.trace_context AND id < 4";
    is(client.query_one(compare, &[&SAMPLED]).await?.get(0), 1, "tokio-postgres: compared");
    let array = "SELECT array_agg(otel.span_id(c::otel.trace_context)) FROM unnest($1::text[]) c";
    let read: Vec<String> = client.query_one(array, &[&[SAMPLED, STATE].as_slice()]).await?.get(0);
    is(
        read,
        vec!["00f067aa0ba902b7".into(), "b7ad6b7169203331".into()],
        "tokio-postgres: an array",
    );
    Ok(())
}

async fn try_sqlx() -> Result<(), Box<dyn Error>> {
    let pool = PgPoolOptions::new().max_connections(1).connect(&url()?).await?;
    sqlx::query(CREATE).execute(&pool).await?;
    let insert = "INSERT INTO items VALUES ($1, $2)";

    for (id, value) in [(1, Some(SAMPLED)), (2, Some(STATE)), (3, None)] {
        sqlx::query(insert).bind(id).bind(value).execute(&pool).await?;
    }
    let rows = sqlx::query("SELECT context::text FROM items ORDER BY id").fetch_all(&pool).await?;
    let read: Vec<Option<String>> = rows.iter().map(|row| row.get(0)).collect();
    let written = vec![Some(SAMPLED.to_owned()), Some(STATE.to_owned()), None];
    is(read, written, "sqlx: &str and None are written, and read with a cast");
    let row = sqlx::query("SELECT context FROM items WHERE id = 1").fetch_one(&pool).await?;
    is(row.try_get::<String, _>(0).is_err(), true, "sqlx: without a cast no String");
    is(row.get_unchecked::<Vec<u8>, _>(0).len(), 25, "sqlx: unchecked it is bytes");

    let error = sqlx::query(insert).bind(9).bind("nope").execute(&pool).await.unwrap_err();
    let code =
        error.as_database_error().and_then(|error| error.code().map(|code| code.to_string()));
    is(code.as_deref(), Some("22P02"), "sqlx: 22P02");
    let compare = "SELECT id FROM items WHERE context = $1::otel.trace_context AND id < 4";
    let id: i32 = sqlx::query_scalar(compare).bind(SAMPLED).fetch_one(&pool).await?;
    is(id, 1, "sqlx: compared, with a cast");
    let array = "SELECT array_agg(otel.span_id(c::otel.trace_context)) FROM unnest($1::text[]) c";
    let read: Vec<String> =
        sqlx::query_scalar(array).bind(vec![SAMPLED, STATE]).fetch_one(&pool).await?;
    is(read, vec!["00f067aa0ba902b7".into(), "b7ad6b7169203331".into()], "sqlx: an array");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    try_tokio_postgres().await?;
    try_sqlx().await
}
