# Sourced by ../run, in the folder of this stack.  The JPA entity is that of the section on
# Hibernate.
source "$HERE/java/java.sh"
"$PYTHON" "$ROOT/test/interop/doc_blocks.py" "$ROOT/docs/stacks.md" hibernate .
rm jobs/TraceComment.java
java_compile jobs/*.java Client.java
java_test
