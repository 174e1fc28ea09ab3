#!/bin/sh
# Starts the pair that was just built, says where it is and what to try first, and stays with it
# until Ctrl-C. Called by `make run`.
set -eu
cd "$(dirname "$0")/.."
programs=${CARGO_TARGET_DIR:-target}/debug

# The reader's shell expands what is in single quotes.
# shellcheck disable=SC2016
say_where() {
	address=$("$programs/evonic" status --json | sed -n 's/.*"address": *"\([0-9.:]*\|\[.*\]:[0-9]*\)".*/\1/p' | head -n 1)
	printf '\nevonic serves at http://%s. In another terminal, try:\n\n' "$address"
	printf "  %s/evonic chat runbook '\$ uname -a'\n" "$programs"
	printf '  %s/evonic status\n' "$programs"
	state=$("$programs/evonic" config | sed -n 's/^state_dir *= "\([^"]*\)".*/\1/p')
	printf '  curl -H "Authorization: Bearer $(cat %s/admin.key)" http://%s/api/v1/agents\n\n' "$state" "$address"
}

running=0
"$programs/evonic" status --quiet 2>/dev/null || running=$?
if [ "$running" -le 1 ]; then
	say_where
	echo "It was running already; stop it where it was started."
	exit 0
fi

"$programs/evonic-supervisor" &
supervisor=$!
trap 'kill -TERM "$supervisor" 2>/dev/null || true' INT TERM HUP

tries=0
until "$programs/evonic" status --json 2>/dev/null | grep -q '"state": *"running"'; do
	kill -0 "$supervisor" 2>/dev/null || { wait "$supervisor"; exit $?; }
	tries=$((tries + 1))
	[ "$tries" -lt 300 ] || { echo "evonic: the worker does not come up; see above" >&2; break; }
	sleep 0.1
done
[ "$tries" -ge 300 ] || say_where

# The first wait ends with the signal that the trap passed on; the second with the process.
code=0
wait "$supervisor" || code=$?
if kill -0 "$supervisor" 2>/dev/null; then
	code=0
	wait "$supervisor" || code=$?
fi
exit "$code"
