"""pgmq, with the SQL that its client on PyPI brings: headers of messages.  Prints TAP lines."""

import hashlib
import pathlib
import sys

from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from pgmq.install import get_embedded_install_sql

from queue_test import (
    catalog,
    documented,
    is_,
    linked_traces,
    new_database,
    plain,
    prepared_session,
    request,
    row_traces,
)

ROOT = pathlib.Path(__file__).parents[4]
sys.path.insert(0, str(ROOT / "test/interop"))
from doc_blocks import blocks  # noqa: E402

new_database()
PsycopgInstrumentor().instrument(enable_commenter=True)
import psycopg  # noqa: E402


def sent(sql, *parameters):
    """Runs SQL of the application's in a request; the request's trace and the first column."""
    with request() as trace_id, psycopg.connect(autocommit=True) as connection:
        rows = connection.cursor().execute(sql, parameters or None).fetchall()
    return trace_id, [row[0] for row in rows]


def stored(table, ids):
    return row_traces(
        f"SELECT otel.traceparent(otel.extract(headers)) FROM pgmq.{table}"
        " WHERE msg_id = ANY (%s) ORDER BY msg_id",
        ids,
    )


def big_messages():
    """A message of 10 MB, and headers of 10 MB: nothing is lost, and the context is there."""
    text = "x" * 10_000_000
    digest = hashlib.md5(text.encode()).hexdigest()
    trace_id, ids = sent("SELECT pgmq.send('items', jsonb_build_object('text', %s::text))", text)
    is_(
        (
            stored("q_items", ids),
            plain("SELECT md5(message ->> 'text') FROM pgmq.q_items WHERE msg_id = %s", ids[0]),
        ),
        ([trace_id], [(digest,)]),
        "a message of 10 MB",
    )
    trace_id, ids = sent(
        "SELECT pgmq.send('items', '{}', jsonb_build_object('text', %s::text))", text
    )
    is_(
        (
            stored("q_items", ids),
            plain(
                "SELECT md5(headers ->> 'text'), headers - 'text' - 'traceparent' FROM pgmq.q_items"
                " WHERE msg_id = %s",
                ids[0],
            ),
        ),
        ([trace_id], [(digest, {})]),
        "headers of 10 MB get the context, and keep what they have",
    )


plain("CREATE SCHEMA IF NOT EXISTS pgmq")
plain(get_embedded_install_sql())
plain("SELECT pgmq.create('items')")
before = catalog("pgmq.q_items")
with (
    prepared_session("SELECT * FROM pgmq.read('items', 0, 9)") as read,
    prepared_session("SELECT pgmq.send('items', '{}')") as send,
):
    plain(documented("capture.sql"))
    send()
    is_(len(read()), 2, "a worker and a producer with prepared statements go on")
plain("SELECT pgmq.purge_queue('items')")

trace_id, [first] = sent("""SELECT pgmq.send('items', '{"n": 1}')""")
is_(stored("q_items", [first]), [trace_id], "send")
other, ids = sent("""SELECT pgmq.send('items', '{"n": 2}', '{"x-pgmq-group": "g"}'::jsonb)""")
is_(
    (
        stored("q_items", ids),
        plain("SELECT headers ->> 'x-pgmq-group' FROM pgmq.q_items WHERE msg_id = %s", ids[0]),
    ),
    ([other], [("g",)]),
    "send with headers, which stay",
)
bulk, ids = sent("""SELECT pgmq.send_batch('items', ARRAY['{"n": 3}', '{"n": 4}']::jsonb[])""")
is_(stored("q_items", ids), [bulk] * 2, "send_batch")
is_(
    sorted(linked_traces(documented("batch.sql"))),
    sorted([trace_id, other, bulk, bulk]),
    "a batch span is linked to every message",
)

sent(f"SELECT msg_id FROM pgmq.read('items', 0, 1) WHERE msg_id = {first}")
sent(f"SELECT msg_id FROM pgmq.set_vt('items', {first}, 0)")
is_(
    row_traces(
        "SELECT otel.traceparent(otel.extract(headers)) FROM pgmq.read('items', 0, 9)"
        " WHERE msg_id = %s",
        first,
    ),
    [trace_id],
    "a worker that reads a message again gets it with the message",
)
sent(f"SELECT pgmq.archive('items', {first}::bigint)")
is_(stored("a_items", [first]), [trace_id], "the archive has it")
plain("SELECT pgmq.bind_topic('a.*', 'items')")
topic, _ = sent("""SELECT pgmq.send_topic('a.b', '{"n": 5}')""")
is_(
    row_traces(
        "SELECT otel.traceparent(otel.extract(headers)) FROM pgmq.q_items"
        " ORDER BY msg_id DESC LIMIT 1"
    ),
    [topic],
    "send_topic",
)
inserted, ids = sent("INSERT INTO pgmq.q_items (vt, message) VALUES (now(), '{}') RETURNING msg_id")
is_(stored("q_items", ids), [inserted], "a message that SQL inserts")
big_messages()

plain("SELECT otel.remove_capture('pgmq.q_items', 'headers')")
_, ids = sent("""SELECT pgmq.send('items', '{"n": 6}')""")
is_(
    plain("SELECT headers FROM pgmq.q_items WHERE msg_id = %s", ids[0]),
    [(None,)],
    "taken off, nothing is captured",
)
is_(catalog("pgmq.q_items"), before, "and the catalog has the table as it was")

plain(blocks(ROOT / "docs/queues.md")["tables-that-come-later"])
for create in ("create", "create_unlogged"):
    plain(f"SELECT pgmq.{create}('later')")
    trace_id, ids = sent("""SELECT pgmq.send('later', '{"n": 7}')""")
    is_(stored("q_later", ids), [trace_id], f"a queue that comes later, by pgmq.{create}")
    plain("SELECT pgmq.drop_queue('later')")
