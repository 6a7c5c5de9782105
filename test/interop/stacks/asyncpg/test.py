"""asyncpg alone as docs/stacks.md sets it up.  Prints TAP lines."""

import asyncio
import os

import asyncpg
from opentelemetry import trace
from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor

import support
from pool import open_pool, send_trace_context
from support import admin, client_spans, is_, recorded, request, traceparent
from transaction import traced_transaction

INSERT = "INSERT INTO jobs (payload) VALUES ($1)"
HOST = os.environ["PGHOST"]


async def run(pool, work, name, rows=1):
    with request() as context:
        async with pool.acquire() as connection:
            await work(connection)
    is_(recorded(), [traceparent(context)] * rows, f"{name}: the request's span")


async def prepared(connection):
    statement = await connection.prepare(INSERT)
    for _ in range(3):
        await statement.fetch("x")


async def copy(connection):
    await connection.copy_records_to_table("jobs", records=[("x",), ("y",)], columns=["payload"])


async def at_once(pool):
    """How many of 20 requests at once have another's context, or none."""

    async def one(number):
        with request() as context:
            await pool.execute(INSERT, str(number))
            return traceparent(context)

    contexts = await asyncio.gather(*(one(number) for number in range(20)))
    rows = admin("DELETE FROM jobs RETURNING payload, trace_context::text")
    return 20 - sum(contexts[int(payload)] == stored for payload, stored in rows)


async def with_the_hook():
    async with open_pool(host=HOST, min_size=1, max_size=2) as pool:
        for number in range(6):
            await run(pool, lambda c: c.execute(INSERT, "x"), f"setup: request {number + 1}")
        many = [(str(number),) for number in range(300)]
        await run(pool, lambda c: c.executemany(INSERT, many), "setup: executemany", rows=300)
        await run(pool, prepared, "setup: a prepared statement", rows=3)
        await run(pool, copy, "setup: COPY", rows=2)
        is_(await at_once(pool), 0, "setup: 20 requests at once: each has its own context")
        await pool.execute(INSERT, "x")
        is_(recorded(), [None], "setup: without a span, nothing of the last request is left")
        with trace.use_span(support.UNSAMPLED):
            await pool.execute(INSERT, "x")
        is_([c[-2:] for c in recorded()], ["00"], "an unsampled request's row says so")
        await pool.execute(INSERT, "x")
        is_(await pool.fetchval("SELECT trace_context FROM jobs"), None, "NULL is None")
        with request() as context:
            await pool.execute(INSERT, "y")
        found = await pool.fetchval(
            "SELECT trace_context FROM jobs WHERE trace_context = $1", traceparent(context)
        )
        is_(found, traceparent(context), "the column is a string, and a row is found by it")
        recorded()


async def in_a_transaction():
    connection = await asyncpg.connect(host=HOST)
    with request() as context:
        async with traced_transaction(connection):
            await connection.execute(INSERT, "x")
            await copy(connection)
            await prepared(connection)
        await connection.execute(INSERT, "after it")
    is_(
        recorded(),
        [traceparent(context)] * 6 + [None],
        "traced_transaction(): the request's span, and nothing is left of it",
    )
    await connection.close()


async def without():
    client_spans()
    async with asyncpg.create_pool(host=HOST, min_size=1, max_size=2) as pool:
        with request():
            await pool.execute(INSERT, "x")
        is_((recorded(), len(client_spans())), ([None], 1), "the instrumentation sends no comment")
    options = {"host": HOST, "min_size": 1, "max_size": 2, "init": send_trace_context}
    async with asyncpg.create_pool(**options) as pool:
        is_(await at_once(pool) >= 18, True, "init: 18 of 20 requests have no context")


async def whole_rows():
    connection = await asyncpg.connect(host=HOST)
    admin("INSERT INTO jobs (payload) VALUES ('x')")
    try:
        await connection.fetchval("SELECT jobs FROM jobs")
        error = None
    except asyncpg.UnsupportedClientFeatureError as unsupported:
        error = unsupported
    is_(error is not None, True, "a whole row as one value cannot be read")
    await connection.set_type_codec(
        "trace_context", schema="otel", encoder=bytes, decoder=bytes, format="binary"
    )
    row = await connection.fetchval("SELECT jobs FROM jobs")
    is_(row["payload"], "x", "with a binary codec it can")
    await connection.close()


async def main():
    admin("CREATE TABLE jobs (id serial PRIMARY KEY, payload text NOT NULL)")
    admin("SELECT otel.add_trace_context('jobs')")
    AsyncPGInstrumentor().instrument()
    await with_the_hook()
    await in_a_transaction()
    await without()
    await whole_rows()


asyncio.run(main())
