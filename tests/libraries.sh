#!/bin/bash
# Installs what a build needs beside Rust, where it is missing; libraries.sh run: what `make run` needs
# beside that. Called by `make build` and `make run`.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/stages.sh

# A service of root gives commands another user, who gets to their folder by bubblewrap only. Where it
# cannot be installed, the service says what that means.
if [ "${1-}" = run ]; then
	[ "$(id -u)" != 0 ] || need bwrap bubblewrap || true
	exit 0
fi

need cc gcc && need pkg-config pkg-config &&
	{ pkg-config --exists openssl || install_package libssl-dev; }
