# packages.sh: installs packages of Debian and Ubuntu that are missing; sourced after lib.sh.
#
# Does nothing, and needs no network, when all of them are there.

has_package() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# Does any package source have this package?
has_candidate()
{
	local policy
	policy=$(apt-cache policy "$1")
	[[ $policy == *"Candidate: "[0-9]* ]]
}

# The first of a package's dependencies whose name is a prefix and a number.
numbered_dependency()
{
	apt-cache depends "$1" | sed -n "s/^ *Depends: \($2[0-9]*\)\$/\1/p" | sed 1q
}

# Shows what apt-get says only when it fails.
apt_get()
{
	mkdir -p "$BUILD"
	as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" >"$BUILD/apt-get.log" 2>&1 ||
		{ cat "$BUILD/apt-get.log" >&2; die "apt-get $1 failed"; }
}

# Once is enough.
updated=
update_lists()
{
	[ -n "$updated" ] || apt_get update
	updated=yes
}

# Installs the packages that are missing.
install_packages()
{
	local package missing=()
	for package in "$@"; do
		has_package "$package" || missing+=("$package")
	done
	if [ ${#missing[@]} -gt 0 ]; then
		say "installing ${missing[*]}"
		update_lists
		apt_get install --no-install-recommends -y "${missing[@]}"
	fi
}

# The same, but leaves out what no package source has; tests that need it say so.  On a new machine,
# the lists are empty at first.
install_optional_packages()
{
	local package known=()
	for package in "$@"; do
		if ! has_package "$package" &&
			! compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null; then
			update_lists
		fi
		if has_package "$package" || has_candidate "$package"; then
			known+=("$package")
		else
			say "no package $package here"
		fi
	done
	install_packages "${known[@]}"
}

# install_programs PROGRAM=PACKAGE…: installs the packages of programs that are missing, wherever
# the others come from.  Without apt-get, says which programs are missing.
install_programs()
{
	local pair packages=() missing=()
	for pair in "$@"; do
		if ! PATH=$PATH:/usr/sbin command -v "${pair%%=*}" >/dev/null; then
			missing+=("${pair%%=*}")
			packages+=("${pair#*=}")
		fi
	done
	if [ ${#missing[@]} -gt 0 ]; then
		command -v apt-get >/dev/null || die "missing: ${missing[*]}"
		install_packages "${packages[@]}"
	fi
}
