#!/bin/bash
# Prints the figures: bench.sh full|small. Full sizes take programs as they are installed; small
# ones take those of the tests. Called by `make bench`.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/stages.sh
export EVONIC_SIZE=${1:-full}

# figures NAME EXPRESSION: a stage with the figures of the tests that an expression of nextest names.
figures() {
	if [ "$EVONIC_SIZE" = full ]; then
		EVONIC_PROGRAMS=$target/dist stage "$1" by_name "$2"
	else
		stage "$1" by_name "$2"
	fi
}

stage "install" tests/parts.sh
stage "tools" tests/tools.sh
stage "build" build --bins
[ "$EVONIC_SIZE" != full ] ||
	stage "build of what is installed" cargo build --locked --profile dist --workspace --bins
share_parts
figures "from a crash to the next worker" 'test(/^crash::/)'
figures "an idle pair" 'test(/^idle::/)'
figures "requests" 'test(/^requests::/)'
figures "recycles under load" 'test(/^recycle::/)'
figures "rate limits" 'test(/^limits::/)'
figures "round trips and throughput" 'test(/^speed::/)'
figures "transfers" 'test(/^transfer::/)'
figures "turns of long sessions" 'test(/^cost::/) & binary(context)'
figures "turns beside endpoints that hang" 'test(/^places::/) & binary(waiting)'
finish
