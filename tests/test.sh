#!/bin/bash
# Installs what the tests need and runs all of them. Called by `make test`, which CI calls.
set -u
cd "$(dirname "$0")/.."
. tests/stages.sh

install() {
	tests/parts.sh &&
		{ command -v cargo-deny >/dev/null 2>&1 || cargo install --quiet --locked cargo-deny; }
}

dependencies() {
	cargo deny --log-level error check --hide-inclusion-graph bans licenses sources
}

# Always the whole workspace, so that every stage builds with the same features, and once.

# targets FILE...: the arguments of cargo that name these test files and folders.
targets() {
	for file in "$@"; do
		[ ! -e "$file" ] || printf -- '--test %s ' "$(basename "$file" .rs)"
	done
}

units() {
	cargo test --locked --workspace --no-fail-fast --lib --bins \
		$(targets supervisor/tests/* worker/tests/* shared/tests/*)
}

examples() {
	cargo test --locked --workspace --no-fail-fast --doc
}

end_to_end() {
	# One at a time: each starts a pair of its own and looks at the clock.
	cargo test --locked --workspace --no-fail-fast $(targets tests/tests/*) \
		-- --test-threads=1 --nocapture
}

documentation() {
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --workspace --document-private-items --quiet
}

stage "install" install
stage "format" cargo fmt --all --check
stage "dependencies" dependencies
stage "clippy" cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
stage "documentation builds" documentation
stage "build" cargo build --locked --workspace --all-targets --quiet
stage "build of make run" make --no-print-directory build
stage "unit and property tests" units
stage "examples in the documentation" examples
stage "end-to-end tests" end_to_end
stage "coverage-guided fuzzing, two seconds a decoder" tests/fuzz/decoders.sh 2
finish
