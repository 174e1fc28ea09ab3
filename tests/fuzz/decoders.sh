#!/bin/bash
# Feeds every decoder of bytes from outside to libFuzzer, SECONDS each. Called by `make fuzz`. What
# it learns is kept in the folder of builds. `make test` decodes the seeds as plain tests.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/stages.sh
seconds=${1:-60}
fuzzer=$programs/evonic-fuzz
seeds=tests/fuzz/seeds

need c++ g++ || exit 1
RUSTC_WORKSPACE_WRAPPER=$PWD/tests/fuzz/coverage.sh cargo build --locked --quiet --workspace \
	--bin evonic-fuzz --features evonic-fuzz/fuzzer || exit 1

failed_decoders=
for folder in "$seeds"/*/; do
	decoder=$(basename "$folder")
	corpus=$target/fuzz/$decoder
	mkdir -p "$corpus"
	log=$target/fuzz/$decoder.log
	# Shorter inputs first; what takes ten seconds, or a gigabyte, is a fault.
	if EVONIC_DECODER=$decoder "$fuzzer" -max_total_time="$seconds" -timeout=10 \
		-rss_limit_mb=1024 -max_len=8192 -artifact_prefix="$target/fuzz/$decoder-" \
		-dict="tests/fuzz/words.dict" "$corpus" "$folder" >"$log" 2>&1; then
		printf '  %-16s %s\n' "$decoder" "$(sed -n 's/^Done //p' "$log")"
	else
		failed_decoders="$failed_decoders $decoder"
		tail -n 40 "$log"
	fi
done
[ -z "$failed_decoders" ] || { echo "broken:$failed_decoders"; exit 1; }
