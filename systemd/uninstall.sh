#!/bin/sh
# Removes what install.sh put there. The configuration, the database and the user stay; the last
# lines say how they are removed. Called by `make uninstall`.
set -eu
prefix=${PREFIX:-/usr/local}
root=${DESTDIR:-}$prefix

if [ -z "${DESTDIR:-}" ] && [ -d /run/systemd/system ]; then
	systemctl disable --now evonic.service evonic.socket 2>/dev/null || true
fi
for file in bin/evonic bin/evonic-supervisor bin/evonic-runner \
	lib/systemd/system/evonic.service lib/systemd/system/evonic.socket \
	lib/sysusers.d/evonic.conf lib/tmpfiles.d/evonic.conf \
	share/man/man1/evonic.1 share/bash-completion/completions/evonic \
	share/zsh/vendor-completions/_evonic share/fish/vendor_completions.d/evonic.fish; do
	rm -f "$root/$file"
done
rm -rf "$root/share/doc/evonic"
if [ -z "${DESTDIR:-}" ] && [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
cat <<END
uninstalled. Kept: /etc/evonic (configuration), /var/lib/evonic (database, workplace), users evonic
and evonic-agent. Remove them with:
rm -r /etc/evonic /var/lib/evonic && userdel evonic && userdel evonic-agent
END
