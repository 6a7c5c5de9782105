# java.sh: what ../run needs for the queues in Java; sourced by it.
#
#   is_java QUEUE      is there a class for the queue?
#   prepare_java       fetches what they need, and compiles all of them
#   run_java QUEUE     runs one; prints TAP

is_java() { [ -e "$HERE/java/$(sed -E 's/(^|-)(.)/\U\2/g' <<<"$1").java" ]; }

prepare_java()
{
	command -v javac >/dev/null || die "javac is missing: install a JDK, version 17 or later"
	command -v mvn >/dev/null || die "mvn is missing: install Maven"
	mkdir -p "$WORK/java"
	cd "$WORK/java"
	if ! cmp -s "$HERE/java/pom.xml" lib/pom.xml; then
		rm -rf lib old
		cp "$HERE/java/pom.xml" .
		mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >&2
		mv lib/opentelemetry-javaagent-*.jar agent.jar
		# the release that JobRunr's tables are migrated from
		mvn -q -B dependency:copy -Dartifact=org.jobrunr:jobrunr:6.3.5 -DoutputDirectory=old >&2
		cp pom.xml lib
	fi
	mkdir -p classes
	documented namastack ../java/documented/namastack
	javac -proc:none -cp 'lib/*' -d classes "$HERE"/java/*.java documented/namastack/*.java >&2
	cp "$HERE/java/logback.xml" classes
	cd "$WORK"
}

# Debezium reads the write-ahead log, at a level that the suite's server does not have.
run_java()
{
	local cluster=(env)
	[ "$1" != debezium ] || cluster=("$ROOT/scripts/cluster" -c wal_level=logical)
	(cd "$WORK/java" && "${cluster[@]}" "$WORK/venv/bin/python3" "$HERE/java/java_test.py" "$1" \
		"$ROOT/test/receiver")
}
