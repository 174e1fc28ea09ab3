#!/bin/sh
# Shows the promise: a leaking worker is replaced under load and no client notices. Called by
# `make demo`.
set -eu
cd "$(dirname "$0")/.."
tests/libraries.sh
cargo build --locked --workspace --bins --quiet
exec "${CARGO_TARGET_DIR:-target}/debug/evonic-demo"
