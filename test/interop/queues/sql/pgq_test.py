"""PGQ: a spare column of its events.  Prints TAP lines."""

from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor

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

new_database()
PsycopgInstrumentor().instrument(enable_commenter=True)
import psycopg  # noqa: E402


def sent(sql):
    """Runs SQL on a connection of the application's, in a request; the request's trace."""
    with request() as trace_id, psycopg.connect(autocommit=True) as connection:
        connection.cursor().execute(sql)
    return trace_id


def next_batch():
    """The number of the consumer's next batch that has events."""
    for _ in range(100):
        plain("SELECT pgq.force_tick('items')")
        plain("SELECT pgq.ticker()")
        batch = plain("SELECT pgq.next_batch('items', 'worker')")[0][0]
        if batch and plain("SELECT 1 FROM pgq.get_batch_events(%s)", batch):
            return batch
        if batch:
            plain("SELECT pgq.finish_batch(%s)", batch)
    raise TimeoutError("no event comes")


def traces(batch):
    return row_traces("SELECT ev_extra4 FROM pgq.get_batch_events(%s) ORDER BY ev_id", batch)


def tables():
    """What the catalog has of the queue's tables."""
    names = plain("SELECT inhrelid::regclass::text FROM pg_inherits ORDER BY 1")
    parents = plain("SELECT queue_data_pfx FROM pgq.queue WHERE queue_name = 'items'")
    return [catalog(name) for [name] in names + parents]


plain(
    "CREATE EXTENSION pgq; CREATE TABLE orders (id int PRIMARY KEY);"
    " SELECT pgq.create_queue('items'), pgq.register_consumer('items', 'worker');"
    " SELECT pgq.ticker();"
    " CREATE TRIGGER to_queue AFTER INSERT ON orders"
    " FOR EACH ROW EXECUTE FUNCTION pgq.jsontriga('items')"
)
OTHERS = ("logutriga", "sqltriga")
for function in OTHERS:
    plain(
        f"CREATE TABLE by_{function} (id int PRIMARY KEY);"
        f" CREATE TRIGGER to_queue AFTER INSERT ON by_{function}"
        f" FOR EACH ROW EXECUTE FUNCTION pgq.{function}('items')"
    )
before = tables()
with prepared_session("SELECT pgq.insert_event('items', 'report', '0')") as insert:
    batch = next_batch()
    with prepared_session(f"SELECT * FROM pgq.get_batch_events({batch})") as events:
        plain(documented("capture.sql"))
        insert()
        is_(len(events()), 1, "a consumer and a producer with prepared statements go on")
    plain("SELECT pgq.finish_batch(%s)", batch)
    batch = next_batch()
    plain("SELECT pgq.finish_batch(%s)", batch)

single = sent("SELECT pgq.insert_event('items', 'report', '1')")
bulk = sent("SELECT pgq.insert_event('items', 'report', i::text) FROM generate_series(2, 4) i")
trigger = sent("INSERT INTO orders VALUES (1), (2)")
batch = next_batch()
is_(
    traces(batch),
    [single] + [bulk] * 3 + [trigger] * 2,
    "single events, many at once, and those of jsontriga have their request's context",
)
is_(
    sorted(linked_traces(documented("batch.sql").replace(":batch", str(batch)))),
    sorted([single, bulk, trigger]),
    "a batch span is linked to every request",
)

plain("SELECT pgq.event_retry(%s, ev_id, 0) FROM pgq.get_batch_events(%s)", batch, batch)
plain("SELECT pgq.finish_batch(%s)", batch)
plain("SELECT pgq.maint_retry_events()")
batch = next_batch()
is_(
    sorted(traces(batch)),
    sorted([single] + [bulk] * 3 + [trigger] * 2),
    "events that are to be tried again keep it, though the maintenance inserts them anew",
)
plain("SELECT pgq.batch_retry(%s, 0)", batch)
plain("SELECT pgq.finish_batch(%s)", batch)
plain("SELECT pgq.maint_retry_events()")
batch = next_batch()
is_(
    (
        sorted(traces(batch)),
        plain("SELECT DISTINCT ev_retry FROM pgq.get_batch_events(%s)", batch),
    ),
    (sorted([single] + [bulk] * 3 + [trigger] * 2), [(2,)]),
    "and so does a batch whose consumer failed again",
)
plain("SELECT pgq.finish_batch(%s)", batch)

expected = [sent(f"INSERT INTO by_{function} VALUES (1), (2)") for function in OTHERS]
batch = next_batch()
is_(
    traces(batch),
    [trace_id for trace_id in expected for _ in range(2)],
    "events of logutriga and sqltriga",
)
plain("SELECT pgq.finish_batch(%s)", batch)

sent(
    "SELECT pgq.insert_event('items', 'report', '5', 'a', 'b', 'c',"
    " '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01')"
)
batch = next_batch()
is_(
    plain(
        "SELECT otel.trace_id(ev_extra4::otel.trace_context), ev_extra1"
        " FROM pgq.get_batch_events(%s)",
        batch,
    ),
    [("4bf92f3577b34da6a3ce929d0e0e4736", "a")],
    "a traceparent that the producer gives stays",
)
plain("SELECT pgq.finish_batch(%s)", batch)

for _ in range(3):
    plain("SELECT pgq.maint_rotate_tables_step1('items')")
    plain("SELECT pgq.maint_rotate_tables_step2()")
rotated = sent("SELECT pgq.insert_event('items', 'report', '5')")
batch = next_batch()
is_(traces(batch), [rotated], "after the tables were rotated, too")
plain("SELECT pgq.finish_batch(%s)", batch)

plain(
    "SELECT otel.remove_capture(queue_data_pfx::regclass, 'ev_extra4') FROM pgq.queue"
    " WHERE queue_name = 'items'"
)
sent("SELECT pgq.insert_event('items', 'report', '6')")
is_(traces(next_batch()), [None], "taken off, nothing is captured")
is_(tables(), before, "and the catalog has the tables as they were")
