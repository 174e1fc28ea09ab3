#!/bin/sh
# Runs rustc such that what it compiles tells libFuzzer which way it went. Cargo asks this of the
# crates of this workspace only (RUSTC_WORKSPACE_WRAPPER): what they are built from stays as it is.
exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
	-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
