# tap.sh: what the suites of test/interop count; sourced by bash after lib.sh.
#
#   tap_client NAME COMMAND…    runs a client that prints "ok - …" and "not ok - …" for each test
#   tap_end                     prints the plan; returns whether all passed.  Comes last.

tap_count=0
tap_failed=0

# A client that does not end well counts as one more test, which fails.  Returns whether it did.
tap_client()
{
	local name=$1 status=0 output
	shift
	output=$(mktemp)
	"$@" >"$output" || status=$?
	cat "$output"
	tap_count=$((tap_count + $(grep -Ec '^(not )?ok ' "$output" || true)))
	tap_failed=$((tap_failed + $(grep -c '^not ok ' "$output" || true)))
	rm -f "$output"
	if [ "$status" != 0 ]; then
		tap_count=$((tap_count + 1)) tap_failed=$((tap_failed + 1))
		echo "not ok - $name: the client ends with status $status"
	fi
	return "$status"
}

tap_end()
{
	echo "1..$tap_count"
	[ "$tap_failed" = 0 ]
}
