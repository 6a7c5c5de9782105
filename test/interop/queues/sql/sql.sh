# sql.sh: what ../run needs for the queues and schedulers that are extensions, and for pg_timetable;
# sourced by it.

QUEUES[sql]='pgq pgagent pg-timetable'

# What no package source has for this major is left out, and its test says so.
prepare_sql()
{
	local major
	source "$ROOT/scripts/packages.sh"
	major=$("${PG_CONFIG:-pg_config}" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
	install_optional_packages "postgresql-$major-pgq3" pgagent >&2
	queue_python >/dev/null
}

run_sql()
{
	local psql known="SELECT count(*) FROM pg_available_extensions WHERE name = '$1'"
	psql=("$("${PG_CONFIG:-pg_config}" --bindir)/psql" -XAtq -d postgres)
	if [ "$1" = pg-timetable ]; then
		if ! command -v pg_timetable >/dev/null; then
			echo "# $1: skipped, there is no pg_timetable"
			return
		fi
	elif [ "$("${psql[@]}" -c "$known")" = 0 ]; then
		echo "# $1: skipped, this server does not have the extension"
		return
	fi
	PYTHONPATH=$HERE/python "$(queue_python)" "$HERE/sql/${1//-/_}_test.py"
}
