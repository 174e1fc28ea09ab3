#!/bin/bash
# The long runs: ten minutes of requests made from the API's document, and a minute of odd bytes
# for every decoder. Called by `make fuzz`; `EVONIC_SIZE_DECODER_SECONDS` is for longer nights.
set -u
cd "$(dirname "$0")/.."
. tests/stages.sh

api() {
	EVONIC_FULL=1 cargo test --locked --workspace --test install -- \
		--test-threads=1 --nocapture install_4
}

stage "build" cargo build --locked --workspace --bins
stage "4 the served API" api
stage "4 every decoder" tests/fuzz/decoders.sh "${EVONIC_SIZE_DECODER_SECONDS:-60}"
finish
