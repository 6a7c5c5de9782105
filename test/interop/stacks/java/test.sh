# Sourced by ../run, in the folder of this stack.
command -v java >/dev/null || die "java is missing: install a JDK, version 17 or later"
command -v mvn >/dev/null || die "mvn is missing: install Maven"
if ! cmp -s pom.xml lib/pom.xml; then
	rm -rf lib
	mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >&2
	cp pom.xml lib
fi
mkdir -p agent classes
mv -f lib/opentelemetry-javaagent-*.jar agent/agent.jar 2>/dev/null || true
javac -cp 'lib/*' -d classes InTransaction.java Client.java >&2
# The spans that the agent exports come to a receiver, for the rows to be compared with.
"$(python_with "$HERE/requirements.txt")" test.py "$ROOT/test/receiver"
