"""Each request inserts jobs in another way."""

from copy_jobs import copy_jobs

from django.db import connection, transaction
from django.http import HttpResponse
from django.urls import path

from jobs.models import Job


def create():
    Job.objects.create(payload="x")


def bulk():
    Job.objects.bulk_create([Job(payload="x") for _ in range(300)])


def atomic():
    with transaction.atomic():
        create()
        Job(payload="x").save()


def cursor():
    with connection.cursor() as c:
        c.execute("INSERT INTO jobs_job (payload) VALUES (%s)", ["x"])


def many():
    with connection.cursor() as c:
        c.executemany("INSERT INTO jobs_job (payload) VALUES (%s)", [["x"]] * 3)


def keep():
    job = Job.objects.create(payload="x")
    job.payload = "changed"
    job.save()


def copy():
    copy_jobs(["x", "y"])


def view(request, work):
    work()
    return HttpResponse("")


urlpatterns = [
    path(work.__name__, view, {"work": work})
    for work in (create, bulk, atomic, cursor, many, keep, copy)
]
