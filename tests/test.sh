#!/bin/bash
# Installs what the tests need and runs all of them. Called by `make test`, which CI calls.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/stages.sh

install() {
	tests/parts.sh && tests/tools.sh
}

# Those that begin with a line for their interpreter, and those that are put together from pieces:
# variables of one piece are set in another.
scripts() {
	git ls-files -z --cached --others --exclude-standard |
		xargs -0 grep -lZE --max-count=1 '^#!/bin/(ba)?sh|^# shellcheck shell=' |
		xargs -0 shellcheck --external-sources --source-path=SCRIPTDIR/.. &&
		git ls-files -z '*/src/*.sh' ':!tests/' |
		xargs -0 --no-run-if-empty shellcheck --shell=sh --severity=warning \
			--exclude=SC1007,SC2034,SC2154,SC2174
}

dependencies() {
	cargo deny --log-level error check --hide-inclusion-graph bans licenses sources || return
	if timeout 60 cargo deny --log-level off fetch db >/dev/null 2>&1; then
		cargo deny --log-level error check --hide-inclusion-graph advisories
	else
		echo "advisories not checked: their database cannot be fetched from here"
	fi
}

# targets FOLDER...: the arguments of cargo that name the test files and folders in these.
targets() {
	for file in $(git ls-files "$@" | grep -E '/tests/([^/]+|[^/]+/main)\.rs$'); do
		printf -- '--test\n%s\n' "$(basename "${file%/main.rs}" .rs)"
	done
}

units() {
	mapfile -t targets < <(targets '*/tests/*.rs' ':!*/src/*' ':!tests/')
	nextest --lib --bins "${targets[@]}"
}

examples() {
	cargo test --locked --workspace --no-fail-fast --doc
}

end_to_end() {
	mapfile -t targets < <(targets 'tests/tests/*.rs')
	nextest "${targets[@]}"
}

documentation() {
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --workspace --document-private-items --quiet
}

stage "install" install
stage "format" cargo fmt --all --check
stage "scripts" scripts
stage "dependencies" dependencies
stage "clippy" cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
stage "documentation builds" documentation
stage "build" build --all-targets
share_parts
stage "unit and property tests" units
stage "examples in the documentation" examples
stage "end-to-end tests" end_to_end
stage "targets of the Makefile, as typed in a clean clone" tests/rehearsal.sh
finish
