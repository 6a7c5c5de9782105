# Sourced by ../run, in the folder of this stack.
node_packages
cp "$HERE/support.js" .
node test.js
