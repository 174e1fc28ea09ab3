# Sourced by the scripts beside it: stages with a name and a time, tests counted.

passed=0
failed=0
skipped=0
began_all=$(date +%s)

# stage NAME COMMAND...: runs the command, prints the name and the time, counts what it tested.
stage() {
	name=$1
	shift
	printf '=== %s\n' "$name"
	began=$(date +%s)
	log=$(mktemp)
	code=0
	{ "$@" 2>&1 || echo "stage failed: $?" >"$log.code"; } | tee "$log"
	[ ! -e "$log.code" ] || code=1
	counts=$(sed -n 's/^test result: .* \([0-9]*\) passed; \([0-9]*\) failed; \([0-9]*\) ignored;.*/\1 \2 \3/p' "$log")
	# Counted as tests: a stage without tests of its own is one.
	if [ -n "$counts" ]; then
		passed=$((passed + $(echo "$counts" | awk '{n += $1} END {print n}')))
		stage_failed=$(echo "$counts" | awk '{n += $2} END {print n}')
		[ "$code" = 0 ] || [ "$stage_failed" != 0 ] || stage_failed=1
		failed=$((failed + stage_failed))
		skipped=$((skipped + $(echo "$counts" | awk '{n += $3} END {print n}')))
	elif [ "$code" = 0 ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
	fi
	rm -f "$log" "$log.code"
	printf -- '--- %s: %s, %s s\n\n' "$name" "$([ "$code" = 0 ] && echo ok || echo FAILED)" $(($(date +%s) - began))
}

# finish: the line a person reads, and the exit code.
finish() {
	printf 'all stages: %s s\n' $(($(date +%s) - began_all))
	printf '%s passed, %s failed, %s skipped\n' "$passed" "$failed" "$skipped"
	[ "$failed" = 0 ]
}

# need COMMAND PACKAGE: installs a Debian package where its command is missing.
need() {
	command -v "$1" >/dev/null 2>&1 || install_package "$2"
}

# install_package NAME...: installs Debian packages.
install_package() {
	as_root=
	[ "$(id -u)" = 0 ] || as_root=sudo
	if [ -z "${updated-}" ]; then
		$as_root apt-get update -q
		updated=1
	fi
	DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -q --no-install-recommends "$@"
}
