# ruby.sh: what ../run needs for the queues in Ruby; sourced by it.
#
# Debian has Delayed Job.  The others are tested where their gems are installed.

QUEUES[ruby]='delayed-job good-job solid-queue que'

declare -A RUBY_GEM=([good-job]=good_job [solid-queue]=solid_queue [que]=que)

prepare_ruby()
{
	source "$ROOT/scripts/packages.sh"
	install_packages ruby ruby-pg ruby-delayed-job-active-record >&2
}

run_ruby()
{
	local gem=${RUBY_GEM[$1]:-}
	if [ -n "$gem" ] && ! ruby -e "gem '$gem'" 2>/dev/null; then
		echo "# $1: skipped, the gem $gem is not installed"
		return
	fi
	in_database "$1" ruby "$HERE/ruby/$1.rb"
}
