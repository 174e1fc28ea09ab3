#!/bin/bash
# The long runs: leaks after a flat minute, recycles and kills by the hundred. Called by
# `make chaos`. Takes about an hour.
set -u
cd "$(dirname "$0")/.."
. tests/stages.sh

point() {
	EVONIC_FULL=1 cargo test --locked --workspace --test "$1" -- --test-threads=1 --nocapture "$2"
}

stage "install" tests/parts.sh
stage "build" cargo build --locked --workspace --bins
stage "2 leaks" point pair pair_2
stage "3 recycles" point pair pair_3
stage "9 kills" point pair pair_9
stage "install: 1 the unit" point install install_1
stage "workplaces: 1 homes and refusals" point workplace workplace_1
stage "workplaces: 2 cycles" point workplace workplace_2
stage "workplaces: 4 survival" point workplace workplace_4
stage "workplaces: 5 containers" point workplace workplace_5
stage "workplaces: 7 effects" point workplace workplace_7
finish
