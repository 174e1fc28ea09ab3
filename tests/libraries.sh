#!/bin/bash
# Installs what a build needs beside Rust, where it is missing. Called by `make build`.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/stages.sh

need cc gcc && need pkg-config pkg-config &&
	{ pkg-config --exists openssl || install_package libssl-dev; }
