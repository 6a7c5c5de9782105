"""django-tasks-db: a column of its table.  Prints TAP lines."""

import asyncio
import logging
import os
import sys

from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor

from queue_test import (
    client_traces,
    documented,
    is_,
    linked_traces,
    new_database,
    plain,
    request,
    row_traces,
    until,
    worker_process,
)

WORKER = "worker" in sys.argv
if not WORKER:
    new_database()
    PsycopgInstrumentor().instrument(enable_commenter=True)
import psycopg  # noqa: E402
import django  # noqa: E402
from django.conf import settings  # noqa: E402

settings.configure(
    INSTALLED_APPS=["django_tasks", "django_tasks_db"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["PGDATABASE"],
            "USER": os.environ["PGUSER"],
            "HOST": "127.0.0.1",
            "PORT": os.environ["PGPORT"],
            "OPTIONS": {"server_side_binding": True, "prepare_threshold": 0} if WORKER else {},
        }
    },
    TASKS={"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": []}},
    USE_TZ=True,
)
django.setup()
logging.disable(logging.CRITICAL)
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django_tasks import task  # noqa: E402

TABLE = "django_tasks_database_dbtaskresult"
CONTEXT = f"SELECT otel.traceparent(otel_context) FROM {TABLE} WHERE id = %s"


@task()
def report(fails=False):
    if fails:
        raise RuntimeError("as the test wants it")


@task(takes_context=True)
def look(context):
    return plain(CONTEXT, context.task_result.id)[0][0]


def work():
    call_command("db_worker", batch=True, verbosity=0, interval=0, startup_delay=False)


def stored(*results):
    return [row_traces(CONTEXT, result.id)[0] for result in results]


def status(task):
    return plain(f"SELECT status FROM {TABLE} WHERE id = %s", task)[0][0]


def wait_for(task):
    asyncio.run(until(lambda: status(task) == "SUCCESSFUL"))


if WORKER:
    call_command("db_worker", interval=0.1, verbosity=0, startup_delay=False)
    sys.exit()

call_command("migrate", "django_tasks_database", "0017", verbosity=0)
plain(documented("capture.sql"))
call_command("migrate", verbosity=0)
with request() as trace_id:
    result = report.enqueue()
is_(stored(result), [trace_id], "the library's migrations from 0017 on run over the column")
work()
result.refresh()
is_((str(result.status), stored(result)), ("SUCCESSFUL", [trace_id]), "a job that is done keeps it")
plain(f"ALTER TABLE {TABLE} DROP COLUMN otel_context")
with worker_process() as worker:
    for _ in range(3):
        wait_for(report.enqueue().id)
    plain(documented("capture.sql"))
    with request() as trace_id:
        result = report.enqueue()
    wait_for(result.id)
    is_(
        (worker.prepared(TABLE), worker.poll(), stored(result)),
        (True, None, [trace_id]),
        "a worker whose statements are prepared goes on",
    )
with request() as trace_id, psycopg.connect(autocommit=True) as by_sql:
    [task] = by_sql.execute(
        f"""INSERT INTO {TABLE} (id, status, enqueued_at, args_kwargs, priority, task_path,
                worker_ids, queue_name, backend_name, run_after, exception_class_path, traceback)
            VALUES (gen_random_uuid(), 'READY', now(), '{{"args": [], "kwargs": {{}}}}', 0, %s,
                '[]', 'default', 'default', now(), '', '')
            RETURNING id""",
        [report.module_path],
    ).fetchone()
work()
is_(
    (status(task), row_traces(CONTEXT, task)),
    ("SUCCESSFUL", [trace_id]),
    "a job that SQL inserts",
)
with request() as trace_id:
    result = look.enqueue()
work()
result.refresh()
is_(client_traces([result.return_value]), [trace_id], "a task finds it by its id")
with request() as trace_id:
    result = report.enqueue(fails=True)
work()
result.refresh()
is_((str(result.status), stored(result)), ("FAILED", [trace_id]), "a job that failed keeps it")
with request() as trace_id, transaction.atomic():
    results = [report.enqueue() for _ in range(3)]
is_(stored(*results), [trace_id] * 3, "several in one transaction")
plain(f"DELETE FROM {TABLE}")

traces = []
for _ in range(20):
    with request() as trace_id:
        report.using(queue_name="items").enqueue()
    traces.append(trace_id)
is_(
    sorted(linked_traces(documented("batch.sql"))),
    sorted(traces),
    "a batch span is linked to every job",
)
plain(f"SELECT otel.remove_capture('{TABLE}', 'otel_context')")
with request():
    result = report.enqueue()
is_(stored(result), [None], "taken off, nothing is captured")
connection.close()
