# shellcheck shell=bash
# What an attempt would have changed, a line each. Variables come from the test.
for it in "$OUT" "$MORE" "$ROOT/deep"; do
	find "$it" -printf '%p %y %#m %U:%G %s %T@\n' | sed 's/^/file /'
done
find "$STATE" "$RUNTIME" "$CONFIG" -maxdepth 1 -printf 'file %p %y %#m %U:%G\n'
find "$OTHER" -maxdepth 1 -printf 'file %p %y %#m %i\n'
for pid in "$SUPERVISOR" "$WORKER" "$RUNNER" "$VICTIM"; do
	sed "s/^/limit $pid /" "/proc/$pid/limits"
	ps -o pid=,comm=,ni=,cls= -p "$pid" | sed 's/^/process /'
	taskset -p "$pid"
done
