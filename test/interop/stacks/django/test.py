"""Django as docs/stacks.md sets it up.  Prints TAP lines.

test.py                the driver's commenter, which the page recommends
test.py django         Django's own
"""

import os
import subprocess
import sys

OWN = sys.argv[1:] == ["django"]
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"

import tracing  # noqa: E402
from opentelemetry.instrumentation.django import DjangoInstrumentor  # noqa: E402

from support import admin, client_spans, exporter, is_, recorded, traceparent  # noqa: E402

if OWN:
    DjangoInstrumentor().instrument(is_sql_commentor_enabled=True)
else:
    tracing.trace_project()

import django  # noqa: E402

django.setup()
from django.core.management import call_command  # noqa: E402
from django.test import Client  # noqa: E402

from jobs.models import Job  # noqa: E402

client = Client()


def get(what):
    """The context of the request that ran one of jobs.views."""
    exporter.clear()
    client.get(f"/{what}")
    return [s.context for s in exporter.get_finished_spans() if s.kind.name == "SERVER"][-1]


def check(what, rows=1):
    server = get(what)
    exported = [traceparent(server)] if OWN else client_spans()
    contexts = recorded("jobs_job")
    is_(
        (len(contexts), set(contexts) - set(exported), {c[3:35] for c in contexts if c}),
        (rows, set(), {f"{server.trace_id:032x}"}),
        f"{'own commenter' if OWN else 'driver'}: {what}: each row is a span of its request's",
    )


if not OWN:
    # a model as it was before, a row, and then the field: makemigrations writes both migrations
    models = open("jobs/models.py").read()
    without = "\n".join(line for line in models.splitlines() if "trace_context =" not in line)
    for source in (without, models):
        open("jobs/models.py", "w").write(source)
        subprocess.run([sys.executable, "manage.py", "makemigrations", "jobs", "-v0"], check=True)
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], check=True)
        admin(
            "INSERT INTO jobs_job (payload) VALUES ('old') "
            "/*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/"
        )
    is_(
        recorded("jobs_job"),
        [None, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
        "makemigrations and a traced migrate add the column, and old rows stay NULL",
    )
    is_(
        subprocess.run(
            [sys.executable, "manage.py", "makemigrations", "--check", "--dry-run", "-v0"]
        ).returncode,
        0,
        "makemigrations finds nothing to change",
    )
    call_command("check")

for number in range(6):
    check("create")
check("bulk", rows=300)
check("atomic", rows=2)
check("cursor")
check("many", rows=3)

server = get("keep")
span = [traceparent(server)] if OWN else client_spans()[:1]
is_(
    admin("SELECT payload, trace_context::text FROM jobs_job"),
    [("changed", span[0])],
    "saved again, an object keeps the context that it was created with",
)
is_(
    list(Job.objects.filter(trace_context=span[0]).values_list("trace_context", flat=True)),
    span,
    "it is read as a string, and found by it",
)
is_(Job.objects.exclude(trace_context__in=span).count(), 0, "or left out by it")
recorded("jobs_job")

server = get("copy")
is_(
    [c[3:35] for c in recorded("jobs_job")],
    [f"{server.trace_id:032x}"] * 2,
    "COPY, with the context set in the transaction",
)
