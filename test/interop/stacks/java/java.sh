# java.sh: what the stacks in Java share; sourced by their test.sh, in the stack's folder.
#
#   java_compile FILE…    fetches the libraries, once for all of them, and compiles
#   java_starter          fetches the libraries with OpenTelemetry's Spring Boot starter as well
#   java_test             runs the stack's test.py

java_libraries()
{
	command -v javac >/dev/null || die "javac is missing: install a JDK, version 17 or later"
	command -v mvn >/dev/null || die "mvn is missing: install Maven"
	if ! cmp -s "$HERE/java/pom.xml" "$WORK/java/lib/pom.xml"; then
		(mkdir -p "$WORK/java/agent" && cd "$WORK/java" && rm -rf lib starter &&
			cp "$HERE/java/pom.xml" . &&
			mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >&2 &&
			mv -f lib/opentelemetry-javaagent-*.jar agent/agent.jar && cp pom.xml lib)
	fi
}

java_compile()
{
	java_libraries
	mkdir -p classes
	javac -proc:none -parameters -cp "$WORK/java/lib/*" -d classes \
		"$HERE/java/Requests.java" "$@" >&2
	cp "$HERE/java/logback.xml" classes
}

java_starter()
{
	[ -d "$WORK/java/starter" ] ||
		(cd "$WORK/java" && mvn -q -B -Pstarter dependency:copy-dependencies \
			-DoutputDirectory=starter -DexcludeArtifactIds=opentelemetry-javaagent >&2)
}

java_test()
{
	STACK=$(basename "$PWD") "$(python_with "$HERE/requirements.txt")" test.py \
		"$ROOT/test/receiver"
}
