# Sourced by ../run, in the folder of this stack.
node_packages
cp "$HERE/support.js" .
export DATABASE_URL="postgres://$PGUSER@127.0.0.1:$PGPORT/$PGDATABASE"
# "generate" downloads an engine that it does not use, unless there is one
PRISMA_SCHEMA_ENGINE_BINARY=$(type -P true) node_modules/.bin/prisma generate >&2
node test.js
