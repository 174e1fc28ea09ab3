#!/bin/sh
# Puts the programs and what belongs to them below $DESTDIR, for a system whose prefix is $PREFIX.
# Called by `make install` and `make deb`: install.sh PROGRAMS
set -eu
cd "$(dirname "$0")/.."
programs=$1
prefix=${PREFIX:-/usr/local}
root=${DESTDIR:-}$prefix

# put MODE SOURCE TARGET
put() { install -D -m "$1" "$2" "$root/$3"; }

# filled TARGET: standard input, with this prefix's programs in it
filled() {
	file=$(mktemp)
	sed "s,/usr/bin/,$prefix/bin/,g" >"$file"
	put 644 "$file" "$1"
	rm -f "$file"
}

for program in evonic evonic-supervisor evonic-runner; do
	put 755 "$programs/$program" "bin/$program"
done
filled lib/systemd/system/evonic.service <systemd/evonic.service
put 644 systemd/evonic.socket lib/systemd/system/evonic.socket
put 644 systemd/evonic.sysusers.conf lib/sysusers.d/evonic.conf
put 644 systemd/evonic.tmpfiles.conf lib/tmpfiles.d/evonic.conf

"$programs/evonic" man | filled share/man/man1/evonic.1
for shell in bash zsh fish; do
	case $shell in
	bash) completions=share/bash-completion/completions/evonic ;;
	zsh) completions=share/zsh/vendor-completions/_evonic ;;
	fish) completions=share/fish/vendor_completions.d/evonic.fish ;;
	esac
	"$programs/evonic" completions "$shell" | filled "$completions"
done
for page in README.md LICENSE docs/*.md; do
	put 644 "$page" "share/doc/evonic/$(basename "$page")"
done

# On the running system itself, systemd learns of the files and the service restarts.
[ -z "${DESTDIR:-}" ] || exit 0
if [ -d /run/systemd/system ]; then
	systemd-sysusers
	systemd-tmpfiles --create evonic.conf
	systemctl daemon-reload
	systemctl try-restart evonic.service
	echo "installed; start it with: systemctl enable --now evonic"
else
	echo "installed; this system is not run by systemd: start $prefix/bin/evonic-supervisor"
fi
