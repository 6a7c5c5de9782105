# python.sh: what ../run needs for the queues of PyPI; sourced by it.

QUEUES[python]='procrastinate pgqueuer celery django-tasks chancy dbos awa pgmq'

prepare_python() { queue_python >/dev/null; }

run_python() { "$(queue_python)" "$HERE/python/${1//-/_}_test.py"; }
