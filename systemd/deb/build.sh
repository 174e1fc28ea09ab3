#!/bin/sh
# Builds the Debian package: build.sh PROGRAMS OUTPUT_FOLDER [VERSION]. Called by `make deb`.
set -eu
cd "$(dirname "$0")/../.."
programs=$1
output=$2
version=${3:-$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)}
architecture=$(dpkg --print-architecture)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

DESTDIR=$stage PREFIX=/usr systemd/install.sh "$programs"
gzip -9n "$stage/usr/share/man/man1/evonic.1"
ln -s evonic.1.gz "$stage/usr/share/man/man1/evonic-supervisor.1.gz"
rm -f "$stage/usr/share/doc/evonic/LICENSE"
cat >"$stage/usr/share/doc/evonic/copyright" <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: evonic

Files: *
Copyright: 2026 the evonic developers
License: Apache-2.0 or Expat
END
gzip -9n >"$stage/usr/share/doc/evonic/changelog.gz" <<END
evonic ($version) unstable; urgency=medium

  * See README.md and the pages beside this file.

 -- the evonic developers <evonic@localhost>  $(date -R -d "@${SOURCE_DATE_EPOCH:-$(date +%s)}")
END
install -d -m 755 "$stage/DEBIAN"
sed "s/^#.*//; /^$/d; s/@VERSION@/$version/; s/@ARCHITECTURE@/$architecture/" \
	systemd/deb/control >"$stage/DEBIAN/control"
printf 'Installed-Size: %s\n' "$(du -sk --exclude=DEBIAN "$stage" | cut -f 1)" >>"$stage/DEBIAN/control"
for script in preinst postinst prerm postrm; do
	install -m 755 "systemd/deb/$script" "$stage/DEBIAN/$script"
done
chmod 755 "$stage"
chmod -R g-w "$stage"
mkdir -p "$output"
dpkg-deb --root-owner-group --build "$stage" "$output/evonic_${version}_$architecture.deb"
