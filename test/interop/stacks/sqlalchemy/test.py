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
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

import support
from hook import send_trace_context
from models import Base, Job
from support import admin, client_spans, is_, recorded, request, traceparent
from tracing import trace_engine

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

# ---- with the comment ----
trace_engine(engine)


def orm(count):
    with Session(engine) as session:
        session.add_all([Job(payload="x") for _ in range(count)])
        session.commit()


def each_is_a_client_span(name, work, spans=1, rows=1):
    with request() as context:
        work()
    exported = client_spans()
    contexts = recorded()
    is_(
        (len(contexts), set(contexts) - set(exported), {c[3:35] for c in contexts}),
        (rows, set(), {f"{context.trace_id:032x}"}),
        f"{name}: each row is a client span of its request's",
    )


def statement(**values):
    with engine.begin() as connection:
        connection.execute(sqlalchemy.insert(Job).values(payload="x", **values))


def many():
    with engine.begin() as connection:
        connection.execute(sqlalchemy.insert(Job), [{"payload": "x"}] * 300)


def on_conflict():
    with engine.begin() as connection:
        connection.execute(
            upsert(Job)
            .values(id=7, payload="x")
            .on_conflict_do_update(index_elements=["id"], set_={"payload": "y"})
        )


def eight_in_a_transaction():
    with engine.begin() as connection:
        for _ in range(8):
            connection.execute(sqlalchemy.insert(Job).values(payload="x"))


client_spans()
each_is_a_client_span("ORM, one object", lambda: orm(1))
each_is_a_client_span("ORM, 300 objects", lambda: orm(300), rows=300)
for number in range(8):
    each_is_a_client_span(f"Core, the same statement in request {number + 1}", statement)
each_is_a_client_span("Core, 300 rows in one statement", many, rows=300)
each_is_a_client_span("Core, eight times in a transaction", eight_in_a_transaction, rows=8)
each_is_a_client_span("ON CONFLICT DO UPDATE", on_conflict)
with Session(engine) as session, request():
    job = Job(payload="x")
    session.add(job)
    session.commit()
    stored = job.trace_context
    is_(stored in client_spans(), True, "the object has it after the commit")
    is_(
        session.scalars(sqlalchemy.select(Job).where(Job.trace_context == stored)).one() is job,
        True,
        "and is found by it",
    )
recorded()
with trace.use_span(support.UNSAMPLED):
    statement()
is_(recorded(), [None], "an unsampled request sends no comment")

# ---- with the event instead ----
SQLAlchemyInstrumentor().uninstrument()
plain = sqlalchemy.create_engine(DRIVER)
send_trace_context(plain)
with request() as context, plain.begin() as connection:
    connection.execute(sqlalchemy.insert(Job), [{"payload": "x"}] * 3)
    with connection.connection.cursor().copy("COPY jobs (payload) FROM STDIN") as copy:
        copy.write_row(["x"])
is_(recorded(), [traceparent(context)] * 4, "the event: bulk and COPY have the request's span")
with plain.begin() as connection:
    connection.execute(sqlalchemy.insert(Job).values(payload="x"))
is_(
    recorded(),
    [None],
    "the event: the next transaction on the connection, without a span, has none",
)


async def by_asyncpg():
    asyncpg = create_async_engine(
        "postgresql+asyncpg://", connect_args={"host": os.environ["PGHOST"]}
    )
    send_trace_context(asyncpg.sync_engine)
    for number in range(3):
        with request() as context:
            async with asyncpg.begin() as connection:
                await connection.execute(sqlalchemy.insert(Job).values(payload="x"))
        is_(recorded(), [traceparent(context)], f"the event, asyncpg, request {number + 1}")
    await asyncpg.dispose()


asyncio.run(by_asyncpg())
