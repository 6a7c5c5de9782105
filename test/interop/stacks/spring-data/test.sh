# Sourced by ../run, in the folder of this stack.
source "$HERE/java/java.sh"
java_compile jobs/*.java Client.java
java_starter
java_test
