# python.sh: what ../run needs for the queues of PyPI; sourced by it.

QUEUES[python]='procrastinate pgqueuer celery django-tasks chancy dbos awa pgmq absurd oban'

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

# Oban wants a newer Python than Debian bookworm has; nothing is printed where there is none.
oban_python()
{
	local python
	for python in "$PYTHON" python3 python3.{14,13,12} \
		"$(pyenv root 2>/dev/null)"/versions/*/bin/python3; do
		if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
			venv_python oban-venv oban-requirements.txt "$python"
			return
		fi
	done
}

run_python()
{
	local python
	case $1 in
		oban) python=$(oban_python) ;;
		*) python=$(queue_python) ;;
	esac
	if [ -z "$python" ]; then
		echo "# $1: skipped, there is no Python 3.12 or later"
		return
	fi
	"$python" "$HERE/python/${1//-/_}_test.py"
}
