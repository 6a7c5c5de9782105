"""SQLAlchemy 2.0 and Alembic as docs/stacks.md sets them up.  Prints TAP lines."""

import asyncio
import os
import pathlib

import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from opentelemetry import trace
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.propagate import inject
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

import support
from hook import send_trace_context
from models import Base, Job
from support import admin, client_spans, is_, recorded, request, traceparent
from tracing import trace_engines

DRIVER = "postgresql+psycopg://"

# ---- the migration, by Alembic itself ----
pathlib.Path("env.py").write_text("""
from alembic import context
import sqlalchemy
from models import Base
with sqlalchemy.create_engine("postgresql+psycopg://").connect() as connection:
    context.configure(
        connection=connection, target_metadata=Base.metadata, compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()
""")
pathlib.Path("versions/0001_jobs.py").write_text("""
from alembic import op
import sqlalchemy as sa
revision = "0001"
down_revision = None
def upgrade():
    op.create_table("jobs", sa.Column("id", sa.Integer, primary_key=True),
                    sa.Column("payload", sa.String, nullable=False))
    op.execute("INSERT INTO jobs (payload) VALUES ('old')")
def downgrade():
    op.drop_table("jobs")
""")
config = Config()
config.set_main_option("script_location", os.getcwd())
config.set_main_option("path_separator", "os")
command.upgrade(config, "head")
is_(recorded(), [None], "the migration leaves the rows that are there alone")
engine = sqlalchemy.create_engine(DRIVER)
with engine.connect() as connection:
    context = MigrationContext.configure(connection, opts={"compare_server_default": True})
    is_(compare_metadata(context, Base.metadata), [], "autogenerate finds nothing to change")
    unaware = sqlalchemy.MetaData()
    sqlalchemy.Table("jobs", unaware, *(c._copy() for c in list(Job.__table__.columns)[:2]))
    is_(
        [change[0] for change in compare_metadata(context, unaware)],
        ["remove_column"],
        "for a model without the column it drops it",
    )
command.downgrade(config, "0001")
is_(
    admin(
        "SELECT count(*) FROM pg_attribute "
        "WHERE attrelid = 'jobs'::regclass AND attname = 'trace_context'"
    ),
    [(0,)],
    "the migration can be undone",
)
command.upgrade(config, "head")
admin("TRUNCATE jobs")



def orm(session_of, count):
    with Session(session_of) as session:
        session.add_all([Job(payload="x") for _ in range(count)])
        session.commit()


def statement(engine):
    with engine.begin() as connection:
        connection.execute(sqlalchemy.insert(Job).values(payload="x"))


def many(engine):
    with engine.begin() as connection:
        connection.execute(sqlalchemy.insert(Job), [{"payload": "x"}] * 300)


def on_conflict(engine):
    with engine.begin() as connection:
        connection.execute(
            upsert(Job)
            .values(id=7, payload="x")
            .on_conflict_do_update(index_elements=["id"], set_={"payload": "y"})
        )


def eight_in_a_transaction(engine):
    with engine.begin() as connection:
        for _ in range(8):
            connection.execute(sqlalchemy.insert(Job).values(payload="x"))


def copy(engine):
    with engine.begin() as connection:
        with connection.connection.cursor().copy("COPY jobs (payload) FROM STDIN") as rows:
            rows.write_row(["x"])


WORK = [
    ("ORM, one object", lambda engine: orm(engine, 1), 1),
    ("ORM, 300 objects", lambda engine: orm(engine, 300), 300),
    *((f"Core, the same statement in request {n}", statement, 1) for n in range(1, 9)),
    ("Core, 300 rows in one statement", many, 300),
    ("Core, eight times in a transaction", eight_in_a_transaction, 8),
    ("ON CONFLICT DO UPDATE", on_conflict, 1),
]


async def in_requests(engine, check, name):
    """The same by an AsyncEngine; check(name, context, rows) looks at each request."""
    async with engine.connect():
        pass
    client_spans()
    for what, work, rows in WORK:
        with request() as context:
            async with engine.connect() as connection:
                await connection.run_sync(lambda c: work(c.engine))
        check(f"{name}, {what}", context, rows)


def has_client_spans(name, context, rows):
    exported = client_spans()
    contexts = recorded()
    is_(
        (len(contexts), set(contexts) - set(exported), {(c or "")[3:35] for c in contexts}),
        (rows, set(), {f"{context.trace_id:032x}"}),
        f"{name}: each row is a client span of its request's",
    )


def has_request(name, context, rows):
    is_(recorded(), [traceparent(context)] * rows, f"the event: {name}: the request's span")


def with_comments():
    client_spans()
    for name, work, rows in WORK:
        with request() as context:
            work(engine)
        has_client_spans(name, context, rows)
    with Session(engine) as session, request():
        job = Job(payload="x")
        session.add(job)
        session.commit()
        stored = job.trace_context
        is_(stored in client_spans(), True, "the object has it after the commit")
        found = sqlalchemy.select(Job).where(Job.trace_context == stored)
        is_(session.scalars(found).one() is job, True, "and is found by it")
    recorded()
    with trace.use_span(support.UNSAMPLED):
        statement(engine)
    is_(recorded(), [None], "an unsampled request sends no comment")
    with request():
        copy(engine)
    is_(recorded(), [None], "nor has COPY one")


def with_the_event():
    plain = sqlalchemy.create_engine(DRIVER)
    send_trace_context(plain)
    for name, work, rows in [*WORK, ("COPY", copy, 1)]:
        with request() as context:
            work(plain)
        has_request(name, context, rows)
    statement(plain)
    is_(recorded(), [None], "the event: without a span, nothing of the last request is left")
    with trace.use_span(support.UNSAMPLED):
        statement(plain)
    is_([c[-2:] for c in recorded()], ["00"], "the event: an unsampled request's row says so")
    autocommit = plain.execution_options(isolation_level="AUTOCOMMIT")
    with request():
        statement(autocommit)
    is_(recorded(), [None], "the event: nothing with AUTOCOMMIT")


def with_the_wrong_event():
    """Once for each connection."""
    plain = sqlalchemy.create_engine(DRIVER, pool_size=1)

    @sqlalchemy.event.listens_for(plain, "connect")
    def connect(connection, record):
        carrier = {}
        inject(carrier)
        connection.execute(
            "SELECT otel.set_trace_context(%s, NULL, false)", [carrier.get("traceparent")]
        )
        connection.commit()

    contexts = []
    for _ in range(3):
        with request() as context:
            statement(plain)
        contexts.append(traceparent(context))
    is_(recorded(), [contexts[0]] * 3, "the event connect: all have the first request's context")


def async_engine(driver):
    connect = {"host": os.environ["PGHOST"]} if driver == "asyncpg" else {}
    return create_async_engine(f"postgresql+{driver}://", connect_args=connect)


async def asynchronous(engines, check):
    for driver, each in engines.items():
        await in_requests(each, check, driver)
        await each.dispose()


engines = {driver: async_engine(driver) for driver in ("psycopg", "asyncpg")}
trace_engines(engine, *(each.sync_engine for each in engines.values()))
if sqlalchemy.__version__ < "2.1":
    with_comments()
    asyncio.run(asynchronous(engines, has_client_spans))
else:
    with request():
        statement(engine)
    is_(recorded(), [None], "SQLAlchemy 2.1: the instrumentation sends no comment")
SQLAlchemyInstrumentor().uninstrument()
with_the_event()
with_the_wrong_event()
engines = {driver: async_engine(driver) for driver in ("psycopg", "asyncpg")}
for each in engines.values():
    send_trace_context(each.sync_engine)
asyncio.run(asynchronous(engines, has_request))
