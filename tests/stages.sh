# shellcheck shell=bash
# Sourced by the scripts beside it, in the root of the repository: stages with a name and a time,
# their tests counted; and what is missing installed.

target=${CARGO_TARGET_DIR:-target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
# Where programs of the one profile are that tests and `make run` share.
programs=$target/debug
# Where tools.sh puts the tools of cargo.
tools=$target/tools
export PATH="$PATH:$tools/bin"

passed=0
failed=0
skipped=0
began_all=$(date +%s)

# count LOG: tests that passed, failed and were skipped, by nextest's summary, or else by the lines
# of libtest; nothing where there are neither.
count() {
	awk '
		/^ *Summary \[/ {
			nextest = 1
			for (i = 2; i <= NF; i++) {
				if ($i ~ /^passed/) p += $(i - 1)
				if ($i ~ /^(failed|timed|exec)/) f += $(i - 1)
				if ($i ~ /^skipped/) s += $(i - 1)
			}
		}
		# The others are not left out, but not asked for.
		/^by name: / { named = 1 }
		/^test result: / { libtest = 1; lp += $4; lf += $6; ls += $8 }
		END {
			if (nextest) print p + 0, f + 0, named ? 0 : s + 0
			else if (libtest) print lp + 0, lf + 0, ls + 0
		}' "$1"
}

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
	read -r stage_passed stage_failed stage_skipped < <(count "$log")
	# A stage without tests of its own is one.
	if [ -z "${stage_passed:-}" ]; then
		stage_passed=$((1 - code)) stage_failed=$code stage_skipped=0
	elif [ "$code" != 0 ] && [ "$stage_failed" = 0 ]; then
		stage_failed=1
	fi
	passed=$((passed + stage_passed))
	failed=$((failed + stage_failed))
	skipped=$((skipped + stage_skipped))
	rm -f "$log" "$log.code"
	printf -- '--- %s: %s, %s s\n\n' "$name" "$([ "$code" = 0 ] && echo ok || echo FAILED)" $(($(date +%s) - began))
}

# finish: stops what tests shared; the line a person reads, and the exit code.
finish() {
	if [ -n "${parts_PID-}" ]; then
		parts_pid=$parts_PID
		eval "exec ${parts[1]}>&-"
		wait "$parts_pid"
	fi
	printf 'all stages: %s s\n' $(($(date +%s) - began_all))
	printf '%s passed, %s failed, %s skipped\n' "$passed" "$failed" "$skipped"
	[ "$failed" = 0 ]
}

# build --bins: what `make run` and tests start; build --all-targets: the tests as well. Always the
# whole workspace, so that every build has the same features, and nothing is built twice.
build() {
	cargo build --locked --workspace "$1" --quiet
}

# share_parts: starts what the tests of all later stages share. It ends with this script, however
# that ends: then nobody holds the other end of its standard input.
share_parts() {
	[ -z "${EVONIC_TEST_ENGINE-}" ] || return 0
	# shellcheck disable=SC2016 # the inner shell expands it
	coproc parts { exec "$programs/evonic-with-parts" sh -c 'echo "$EVONIC_TEST_ENGINE"; exec cat'; }
	read -r EVONIC_TEST_ENGINE <&"${parts[0]}" && export EVONIC_TEST_ENGINE
}

# nextest ARGUMENTS...: runs tests, each in a process of its own.
nextest() {
	cargo nextest run --locked --workspace "$@"
}

# by_name EXPRESSION: runs the tests of these names, one after the other, at the size of EVONIC_SIZE.
by_name() {
	echo "by name: $1"
	profile=default
	[ "${EVONIC_SIZE-}" != full ] || profile=full
	nextest --profile "$profile" --no-capture --test pair --test install --test workplace \
		--test escape --test connections --test data --test context --test retention --test budgets \
		--test waiting -E "$1"
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
