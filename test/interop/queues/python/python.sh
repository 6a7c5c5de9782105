# python.sh: what ../run needs for the queues of PyPI; sourced by it.

QUEUES[python]='procrastinate pgqueuer celery django-tasks chancy dbos awa pgmq absurd oban'

prepare_python()
{
	local queue python
	python=$(queue_python)
	for queue in "$@"; do
		case $queue in
			absurd) old_release "$python" absurdctl-0.3.0 ;;
			pgqueuer) old_release "$python" pgqueuer-1.0.2 ;;
		esac
	done
}

# A folder with the release that a queue's tables are migrated from.
old_release()
{
	[ ! -d "$2" ] || return 0
	rm -rf "$2.new"
	"$1" -m pip --disable-pip-version-check --quiet install --no-deps --target "$2.new" \
		"${2/-/==}" >&2
	mv "$2.new" "$2"
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
