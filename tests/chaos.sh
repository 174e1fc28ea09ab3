#!/bin/bash
# The long runs, chaos.sh full|small: leaks after a flat minute, recycles and kills by the hundred.
# Full sizes take about an hour. Called by `make chaos`.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/stages.sh
export EVONIC_SIZE=${1:-full}

stage "install" tests/parts.sh
stage "tools" tests/tools.sh
stage "build" build --bins
share_parts
# faults NAME EXPRESSION [SMALL]: a stage with the tests that an expression of nextest names, or, at
# the small size, with those that another one names.
faults() {
	if [ "$EVONIC_SIZE" = full ]; then
		stage "$1" by_name "$2"
	else
		stage "$1" by_name "${3:-$2}"
	fi
}

faults "leaks" 'test(/^leak::/) & binary(pair)' 'test(=leak::a_fast_leak_is_found)'
faults "recycles under load" 'test(/^recycle::/)'
faults "kills" 'test(/^kill::/)'
faults "hostile clients" 'test(/^lockout::/) & binary(pair)'
faults "a locked database" 'test(/^locks::/) & binary(data)' \
	'test(=locks::a_worker_that_starts_beside_a_lock_serves_reads_and_writes_after_it)'
faults "a million events" 'test(=load::many_events_are_folded_without_harm_and_start_as_soon_as_none)'
faults "clients that half-close, processes that are stopped" 'test(/^(half_close|stops)::/)' \
	'test(=half_close::a_post_that_half_closes_is_served_answered_and_over_at_once)'
faults "escapes" 'binary(escape)' 'test(=attempts::nothing_gets_out_of_namespaces)'
faults "homes and refusals" 'test(/^homes::(an_unwritable|refused)/)' 'test(/^homes::an_unwritable/)'
faults "connections opened and closed" 'test(/^cycles::/)' 'test(/^cycles::connect_run_close/)'
faults "commands that outlive what started them" 'test(/^survive::/)' \
	'test(=survive::a_command_outlives_its_connection)'
faults "containers" 'test(/^containers::engine_/)'
faults "budgets under kills" 'test(=overshoot::a_kill_counts_a_call_once_or_not_at_all)'
faults "effects under kills" 'test(/^chaos::/)'
faults "commands under kills" 'test(/^residue::/)'
faults "ordinary programs" 'test(/^programs::/)' 'test(=programs::nor_do_they_where_the_service_is_an_ordinary_user)'
faults "conversations longer than a window" 'binary(context)' 'test(=kills::a_worker_killed_while_it_compacts_loses_and_doubles_nothing)'
[ "$EVONIC_SIZE" != full ] || stage "the unit in a real systemd" by_name 'test(/^unit::kills_/)'
finish
