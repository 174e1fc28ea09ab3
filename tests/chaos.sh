#!/bin/bash
# The long runs, chaos.sh full|small: leaks after a flat minute, recycles and kills by the hundred.
# Full sizes take about an hour. Called by `make chaos`.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/stages.sh
export EVONIC_SIZE=${1:-full}

stage "install" tests/parts.sh
stage "tools" tests/tools.sh
stage "build" build
share_parts
stage "leaks" by_name 'test(/^leak::/) & binary(pair)'
stage "recycles under load" by_name 'test(/^recycle::/)'
stage "kills" by_name 'test(/^kill::/)'
stage "the unit in a real systemd" by_name 'test(/^unit::/)'
stage "homes and refusals" by_name 'test(/^homes::/)'
stage "connections opened and closed" by_name 'test(/^cycles::/)'
stage "commands that outlive what started them" by_name 'test(/^survive::/)'
stage "containers" by_name 'test(/^containers::/)'
stage "effects under kills" by_name 'test(/^chaos::/)'
finish
