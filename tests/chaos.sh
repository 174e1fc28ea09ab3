#!/bin/bash
# The long runs: leaks after a flat minute, recycles and kills by the hundred. Called by
# `make chaos`. Takes about an hour.
set -u
cd "$(dirname "$0")/.."
. tests/stages.sh

point() {
	EVONIC_FULL=1 cargo test --locked --workspace --test pair -- --test-threads=1 --nocapture "$@"
}

stage "build" cargo build --locked --workspace --bins
stage "2 leaks" point pair_2
stage "3 recycles" point pair_3
stage "9 kills" point pair_9
finish
