#!/bin/bash
# fuzz.sh full|small: ten minutes of requests made from the API's document and a minute of odd bytes
# for every decoder, or a moment of each. Called by `make fuzz`; `EVONIC_SIZE_DECODER_SECONDS` is for
# longer nights.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/stages.sh
export EVONIC_SIZE=${1:-full}

seconds=60
[ "$EVONIC_SIZE" = full ] || seconds=1

stage "install" tests/parts.sh
stage "tools" tests/tools.sh
stage "build" build
share_parts
stage "the served API" by_name 'test(/^api::/)'
stage "every decoder" tests/fuzz/decoders.sh "${EVONIC_SIZE_DECODER_SECONDS:-$seconds}"
finish
