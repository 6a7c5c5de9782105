# Sourced by ../run, in the folder of this stack.
source "$HERE/java/java.sh"
java_compile InTransaction.java Pool.java Client.java
java_test
