# Sourced by ../run, in the folder of this stack.  PHP comes from the distribution's packages.
source "$ROOT/scripts/packages.sh"
install_packages php-cli php-pgsql >&2
php test.php
