# python.sh: what ../run needs for the queues of PyPI; sourced by it.

QUEUES[python]='procrastinate pgqueuer celery django-tasks chancy dbos awa pgmq absurd'

prepare_python()
{
	local python old=absurdctl-0.3.0
	python=$(queue_python)
	# the release that Absurd's tables are migrated from
	if [[ " $* " == *' absurd '* && ! -d $old ]]; then
		"$python" -m pip --disable-pip-version-check --quiet install --no-deps --target "$old.new" \
			"${old/-/==}" >&2
		mv "$old.new" "$old"
	fi
}

run_python() { "$(queue_python)" "$HERE/python/${1//-/_}_test.py"; }
