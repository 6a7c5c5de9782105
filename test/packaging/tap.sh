# tap.sh: TAP from bash; sourced by the scripts beside it and by upgrade.sh.
#
# Needs $log, the file with the output of the command that is tested.  At the end: done_testing.
tests=0

# ok STATUS NAME
ok()
{
	tests=$((tests + 1))
	if [ "$1" = 0 ]; then
		echo "ok $tests - $2"
	else
		echo "not ok $tests - $2"
		sed 's/^/# /' "$log" | tail -n 60
	fi
}

# is GOT WANTED NAME
is()
{
	local status=0
	[ "$1" = "$2" ] || status=1
	printf 'got:    %s\nwanted: %s\n' "$1" "$2" >>"$log"
	ok $status "$3"
	: >"$log"
}

done_testing() { echo "1..$tests"; }
