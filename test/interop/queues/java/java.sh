# java.sh: what ../run needs for the queues in Java; sourced by it.  All of them are compiled.

QUEUES[java]='db-scheduler jobrunr quartz spring-modulith namastack debezium'

prepare_java()
{
	command -v javac >/dev/null || die "javac is missing: install a JDK, version 17 or later"
	command -v mvn >/dev/null || die "mvn is missing: install Maven"
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
	documented namastack
	javac -proc:none -cp 'lib/*' -d classes "$HERE"/java/*.java documented/namastack/*.java >&2
	cp "$HERE/java/logback.xml" classes
}

# Debezium reads the write-ahead log, at a level that the suite's server does not have.
run_java()
{
	local cluster=(env)
	[ "$1" != debezium ] || cluster=("$ROOT/scripts/cluster" -c wal_level=logical)
	"${cluster[@]}" "$(queue_python)" "$HERE/java/java_test.py" "$1" "$ROOT/test/receiver"
}
