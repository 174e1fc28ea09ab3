#!/bin/bash
# Types every target of the Makefile but test, clean and the full dist in a clean clone, in a small
# size, and says how long each took and what it said last. Called by `make test`.
#
# The clone stands where the repository is, in a name space of mounts of its own, with the times of
# the files as they are: cargo finds everything built that the stages before it built, and what is
# built twice fails.
set -u
cd "$(dirname "$0")/.." || exit 1
root=$PWD
. tests/stages.sh

if [ "${1-}" != inside ]; then
	folder=$(mktemp -d)
	trap 'rm -rf "$folder"' EXIT
	git clone --quiet --no-hardlinks --no-checkout "$root" "$folder/clone" || exit 1
	# As it is, with what is not committed yet.
	git ls-files -z --cached --others --exclude-standard --deduplicate |
		while IFS= read -r -d '' file; do
			[ ! -e "$file" ] || printf '%s\0' "$file"
		done | tar --null --no-recursion -T - -cf - | tar -xf - -C "$folder/clone" &&
		git -C "$folder/clone" reset --quiet &&
		mkdir -p "$folder/clone/target" "$target" || exit 1
	export CARGO_TARGET_DIR=$target
	unshare --mount "$0" inside "$folder"
	exit
fi

folder=$2
mount --bind "$target" "$folder/clone/target" && mount --rbind "$folder/clone" "$root" &&
	cd / && cd "$root" || exit 1
# For `make run` alone: the pairs of the other targets have folders of their own.
own=(env "EVONIC_STATE_DIR=$folder/state" "EVONIC_RUNTIME_DIR=$folder/run" EVONIC_LISTEN=127.0.0.1:0)
export DESTDIR=$folder/installed DEB=$folder/package
# The programs of the tests are large.
export DPKG_DEB_COMPRESSOR_TYPE=zstd DPKG_DEB_COMPRESSOR_LEVEL=1
log=$folder/log
broken=

# result COMMAND CODE BEGAN: says how a command ended, with all that it said when it failed.
result() {
	printf '  %-50s %4s s  %s\n' "$1" $(($(date +%s) - $3)) "$(grep -v '^$' "$log" | tail -n 1)"
	[ "$2" != 0 ] || return 0
	cat "$log"
	printf 'FAILED with %s: %s\n' "$2" "$1"
	broken="$broken '$1'"
}

# typed COMMAND: runs a line as a person types it.
typed() {
	began=$(date +%s)
	bash -c "$1" </dev/null >"$log" 2>&1
	result "$1" $? "$began"
}

# typed_run NAME COMMAND...: make run, the command that it says to try first, and Ctrl-C.
typed_run() {
	began=$(date +%s)
	label=$1
	shift
	# What the command before it said is not this one's.
	: >"$log"
	set -m
	"${own[@]}" "$@" </dev/null >"$log" 2>&1 &
	set +m
	until grep -q 'evonic chat' "$log" || ! kill -0 $! 2>/dev/null; do sleep 0.1; done
	first=$(sed -n 's/^ *\(.*evonic chat.*\)/\1/p' "$log")
	"${own[@]}" bash -c "${first:-false}" </dev/null >>"$log" 2>&1
	code=$?
	kill -INT -- -$! 2>/dev/null
	wait $!
	ended=$?
	# The supervisor stops in order, and make says that it was interrupted.
	[ "$ended" = 130 ] || code=$ended
	result "$label" "$code" "$began"
}

read -ra names < <(sed -n 's/^\.PHONY: //p' Makefile)
for name in "${names[@]}"; do
	case $name in
	test | clean | dist) ;;
	run)
		typed_run 'make run' make run
		# Where there are no namespaces, the state folder, which belongs to root, is closed to commands.
		printf '[workplace]\nroot = "%s"\n' "$folder/agents" >"$folder/evonic.toml"
		own+=("EVONIC_CONFIG=$folder/evonic.toml")
		chmod 711 "$folder"
		# shellcheck disable=SC2016 # the inner shell expands it
		typed_run 'make run, without bubblewrap' unshare --mount bash -c \
			'bwrap=$(command -v bwrap) && mount --bind /dev/null "$bwrap" && exec make run'
		grep -q 'have no namespaces.*"landlock"' "$log" ||
			broken="$broken 'make run: the level is not said'"
		;;
	build)
		typed 'make build'
		! grep '^ *Compiling' "$log" || broken="$broken 'make build: the tree is built twice'"
		;;
	install | uninstall) typed "make $name DESTDIR=\$DESTDIR PROGRAMS=target/debug" ;;
	deb) typed "make deb PROGRAMS=target/debug DEB=\$DEB" ;;
	bench | chaos | fuzz) typed "make $name SIZE=small" ;;
	*) typed "make $name" ;;
	esac
done
[ -z "$broken" ] || { echo "broken:$broken"; exit 1; }
