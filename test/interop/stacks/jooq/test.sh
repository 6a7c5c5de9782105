# Sourced by ../run, in the folder of this stack.
source "$HERE/java/java.sh"
rm -rf generated
java_compile Generate.java
STACK=jooq java -Djava.util.logging.config.file=none -cp "classes:$WORK/java/lib/*" Generate
java_compile SendTraceContext.java Client.java generated/jobs/*.java generated/jobs/*/*.java \
	generated/jobs/*/*/*.java
java_test
