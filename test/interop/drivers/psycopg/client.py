"""What psycopg does with otel.trace_context.  Prints TAP lines."""

import psycopg

SAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
STATE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03;rojo=1,congo=2"
STORED = bytes.fromhex("014bf92f3577b34da6a3ce929d0e0e473600f067aa0ba902b7")


def is_(got, expected, name):
    print(("ok" if got == expected else "not ok") + f" - psycopg: {name}")
    if got != expected:
        print(f"# got {got!r}, expected {expected!r}")


def raised(connection, query, parameters):
    """SQLSTATE of what a statement raises."""
    try:
        with connection.transaction():
            connection.execute(query, parameters)
    except psycopg.Error as error:
        return error.sqlstate
    return None


def main():
    with psycopg.connect(autocommit=True) as connection:
        connection.execute("CREATE TEMPORARY TABLE items (id int, context otel.trace_context)")
        insert = "INSERT INTO items VALUES (%s, %s)"
        connection.execute(insert, (1, SAMPLED))
        connection.execute(insert, (2, STATE))
        connection.execute(insert, (3, None))
        with connection.cursor() as cursor:
            cursor.executemany(insert, [(4, SAMPLED), (5, None)])
        for number in range(6, 9):
            connection.execute(insert, (number, SAMPLED), prepare=True)

        rows = connection.execute("SELECT context FROM items ORDER BY id").fetchall()
        is_(
            [row[0] for row in rows],
            [SAMPLED, STATE, None, SAMPLED, None] + [SAMPLED] * 3,
            "str and None are written, and read as str and None",
        )
        is_(raised(connection, insert, (9, "nope")), "22P02", "an invalid str raises 22P02")
        with connection.cursor(binary=True) as cursor:
            is_(
                cursor.execute("SELECT context FROM items WHERE id = 1").fetchone()[0],
                STORED,
                "in binary it is read as bytes",
            )
        is_(
            connection.execute(
                "SELECT array_agg(context ORDER BY id) FROM items WHERE id < 4"
            ).fetchone()[0],
            '{%s,"%s",NULL}' % (SAMPLED, STATE),
            "an array is read as str",
        )
        is_(
            connection.execute(
                "SELECT otel.span_id(c) FROM unnest(%s::otel.trace_context[]) c",
                ([SAMPLED, STATE],),
            ).fetchall(),
            [("00f067aa0ba902b7",), ("b7ad6b7169203331",)],
            "a list of str is written as an array, with a cast",
        )
        is_(
            connection.execute(
                "SELECT id FROM items WHERE context = %s AND id < 4", (SAMPLED,)
            ).fetchall(),
            [(1,)],
            "str is compared",
        )
        is_(
            connection.execute("SELECT otel.inject(context) FROM items WHERE id = 2").fetchone()[0],
            dict(zip(("traceparent", "tracestate"), STATE.split(";"))),
            "a carrier is read as dict",
        )
        with connection.cursor() as cursor:
            with cursor.copy("COPY items FROM STDIN") as copy:
                copy.write_row((10, STATE))
                copy.write_row((11, None))
        is_(
            connection.execute("SELECT context FROM items WHERE id >= 10 ORDER BY id").fetchall(),
            [(STATE,), (None,)],
            "COPY takes str and None",
        )


main()
