# node.sh: what ../run needs for the queues of npm; sourced by it.  Among the packages is the
# Node.js that they want.

QUEUES[node]='graphile-worker pg-boss-10 pg-boss-11 pg-boss'

prepare_node()
{
	cp "$HERE"/node/*.js* .
	npm ci --no-audit --no-fund --loglevel=error >&2
}

run_node() { in_database "$1" node_modules/.bin/node "$1.js"; }
