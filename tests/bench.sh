#!/bin/bash
# Prints the figures: full sizes, programs as they are installed. Called by `make bench`.
set -u
cd "$(dirname "$0")/.."
. tests/stages.sh

programs=${CARGO_TARGET_DIR:-target}/dist

point() {
	EVONIC_FULL=1 EVONIC_PROGRAMS=$programs \
		cargo test --locked --workspace --test pair -- --test-threads=1 --nocapture "$@"
}

stage "install" need runsv runit
stage "build" cargo build --locked --profile dist --workspace --bins
stage "5 crash to the next worker" point pair_5
stage "6 idle" point pair_6
stage "7 requests" point pair_7
stage "3 recycles" point pair_3
finish
