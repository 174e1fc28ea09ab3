#!/bin/bash
# Prints the figures: full sizes, programs as they are installed. Called by `make bench`.
set -u
cd "$(dirname "$0")/.."
. tests/stages.sh

programs=${CARGO_TARGET_DIR:-target}/dist

point() {
	EVONIC_FULL=1 EVONIC_PROGRAMS=$programs \
		cargo test --locked --workspace --test "$1" -- --test-threads=1 --nocapture "$2"
}

stage "install" tests/parts.sh
stage "build" cargo build --locked --profile dist --workspace --bins
stage "5 crash to the next worker" point pair pair_5
stage "6 idle" point pair pair_6
stage "7 requests" point pair pair_7
stage "3 recycles" point pair pair_3
stage "install: 2 rate limits" point install install_2
stage "workplaces: 6 round trips" point workplace workplace_6
stage "workplaces: 3 transfers" point workplace workplace_3
finish
