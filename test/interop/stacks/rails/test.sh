# Sourced by ../run, in the folder of this stack.  The gems come from the distribution's packages.
source "$ROOT/scripts/packages.sh"
install_packages ruby ruby-pg ruby-activerecord ruby-railties >&2
ruby test.rb
