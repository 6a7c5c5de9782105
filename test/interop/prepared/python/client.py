"""psycopg, psycopg2 and asyncpg with statements that carry a comment.  Prints TAP lines."""

import asyncio
import os

import asyncpg
import psycopg
import psycopg2
import psycopg2.extras

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e473{}-00f067aa0ba902b7-01"


def insert(placeholder, request):
    comment = f"/*traceparent='{TRACEPARENT.format(request)}'*/"
    return f"INSERT INTO prepared_jobs (how) VALUES ({placeholder}) {comment}"


def is_(got, expected, what):
    print(("ok" if got == expected else "not ok") + f" - {what}: {expected}")
    if got != expected:
        print(f"# got {got}")


def try_psycopg():
    with psycopg.connect("", autocommit=True) as connection:
        def recorded():
            return connection.execute("SELECT take_recorded()").fetchone()[0]

        for _ in range(3):
            connection.execute(insert("%s", 1), ["x"], prepare=True)
        is_(recorded(), "1--", "psycopg, prepare=True, three requests")
        for request in (2, 3, 4):
            connection.execute(insert("%s", request), ["x"])
        is_(recorded(), "234", "psycopg, a text for each request")
        connection.cursor().executemany(insert("%s", 5), [["x"]] * 5)
        is_(recorded(), "55555", "psycopg, executemany")
        with connection.pipeline():
            for request in (6, 6, 7):
                connection.execute(insert("%s", request), ["x"])
        is_(recorded(), "667", "psycopg, a pipeline")
        connection.execute("BEGIN; " + insert("'x'", 5) + "; COMMIT")
        is_(recorded(), "5", "psycopg, BEGIN, INSERT and COMMIT in one call")


def try_psycopg2():
    connection = psycopg2.connect("")
    connection.autocommit = True
    cursor = connection.cursor()

    def recorded():
        cursor.execute("SELECT take_recorded()")
        return cursor.fetchone()[0]

    for request in (1, 2, 3):
        cursor.execute(insert("%s", request), ["x"])
    is_(recorded(), "123", "psycopg2, a text for each request")
    cursor.executemany(insert("%s", 1), [["x"]] * 3)
    is_(recorded(), "111", "psycopg2, executemany")
    psycopg2.extras.execute_batch(cursor, insert("%s", 2), [["x"]] * 5, page_size=2)
    is_(recorded(), "22222", "psycopg2, execute_batch")
    connection.close()


async def try_asyncpg():
    connection = await asyncpg.connect(host=os.environ["PGHOST"], port=os.environ["PGPORT"],
                                       user=os.environ["PGUSER"],
                                       database=os.environ["PGDATABASE"])

    async def recorded():
        return await connection.fetchval("SELECT take_recorded()")

    statement = await connection.prepare(insert("$1", 1))
    for _ in range(3):
        await statement.fetch("x")
    is_(await recorded(), "1--", "asyncpg, prepare(), three requests")
    for request in (1, 2, 3):
        await connection.execute(insert("$1", request), "x")
    is_(await recorded(), "123", "asyncpg, a text for each request")
    await connection.executemany(insert("$1", 4), [["x"]] * 5)
    is_(await recorded(), "44444", "asyncpg, executemany")
    for _ in range(3):
        await connection.execute(insert("$1", 5), "x")
    is_(await recorded(), "5--", "asyncpg, its cache of statements")
    async with connection.transaction():
        for _ in range(3):
            await connection.execute(insert("$1", 6), "x")
    is_(await recorded(), "666", "asyncpg, three rows of one transaction")
    await connection.close()


try_psycopg()
try_psycopg2()
asyncio.run(try_asyncpg())
