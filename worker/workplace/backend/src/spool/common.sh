# What the scripts share. `s` is the folder of all spools, `d` the command's below it, `id` its
# command id. All of it runs on dash, bash and busybox. What short commands pass through forks as
# little as can be: `read` from /proc costs nothing beside a fork. Lines that begin with `#` do not
# travel.
# shellcheck shell=sh disable=SC2034,SC2154

# Time in hundredths of a second. Where the uptime is hidden (`ProcSubset=pid`), the clock of the
# machine has to do, which is `coarse` hundredths late at the most; where neither can be read, no
# time passes.
now() {
	if { read -r now _ </proc/uptime; } 2>/dev/null; then
		now=${now%.*}${now#*.} coarse=0
	else
		now=$(date +%s 2>/dev/null) || now=0
		now=${now}00 coarse=100
	fi
}

# State, session and start time of a process, and where its environment ends: 0 while it becomes
# another program, or when that may not be known. Fails when it does not live. Its name, which may
# be anything, ends at the last parenthesis.
process() {
	{ IFS= read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
	# shellcheck disable=SC2086
	set -- ${stat##*) }
	state=$1 session=$4 start=${20} image=${49}
	[ "$state" != Z ] && [ "$state" != X ]
}

# What a pid and a start time are good for: this boot, and in a container this start of it.
machine() {
	{ read -r machine </proc/sys/kernel/random/boot_id; } 2>/dev/null || machine=
	process 1 || start=
	machine=$machine.$start
}

# Those of these /proc/PID/environ that hold the command id, in `found`. A grep without -z cannot
# see the end of it, and does not find its own probe. That is named by this shell's pid: another
# shell's grep at the same time is not one of the command's processes.
have_id() {
	found=$(
		EVONIC_PROBE=$$ exec grep -lszxF -e "EVONIC_CALL=$id" -e "EVONIC_PROBE=$$" \
			"$@" /proc/self/environ
	)
	case $found in
	*/proc/self/environ) found=${found%/proc/self/environ} ;;
	*)
		found=
		for e; do
			tr '\000' '\n' <"$e" | grep -qxF "EVONIC_CALL=$id" && found="$found $e"
		done
		;;
	esac
} 2>/dev/null

# Everything that lives of the command: by the command id, by the session that it leads, and, before
# it leads one, the command itself.
living() {
	living=
	have_id /proc/[0-9]*/environ
	for l in $c $found $(
		[ -z "$c" ] || exec grep -lsE "^[0-9]+ \(.*\) [A-Z] [0-9]+ [0-9]+ $c " /proc/[0-9]*/stat
	); do
		l=${l#/proc/}
		l=${l%%/*}
		case " $living " in
		*" $l "*) ;;
		*) process "$l" && living="$living $l" ;;
		esac
	done
	[ -n "$living" ]
}

# Kills all of that, again and again until nothing was found twice, for three seconds at the most: a
# process that is about to become another program shows no command id for a moment. Counts it, but
# for `$1`.
sweep() {
	swept=0 seen=' ' empty=0
	now
	over=$((now + 300 + coarse))
	while [ "$empty" -lt 2 ]; do
		empty=$((empty + 1))
		! living || empty=0
		for l in $living; do
			case $seen in
			*" $l "*) ;;
			*)
				seen="$seen$l "
				[ "$l" = "$1" ] || swept=$((swept + 1))
				;;
			esac
		done
		# shellcheck disable=SC2086
		[ -z "$living" ] || kill -s KILL $living 2>/dev/null
		now
		[ "$now" -lt "$over" ] || break
		[ "$empty" -ge 2 ] || sleep 0.02
	done
}

# Whether a file is a regular one, and no link.
plain() {
	[ -f "$1" ] && [ ! -L "$1" ]
}

# Whether descriptor 5 is that file. Whoever may write to the record may change it between a look
# and an open; what was opened stays what it is.
opened() {
	# shellcheck disable=SC3013 # in POSIX since 2024, and in every shell that is /bin/sh somewhere
	[ -f /proc/self/fd/5 ] && [ ! -L "$1" ] && [ "$1" -ef /proc/self/fd/5 ]
}

# Makes a file of the record with this line, unless something is there, whatever it is.
put_new() {
	[ ! -e "$1" ] && [ ! -L "$1" ] || return 1
	set -C
	if { echo "$2" >"$1"; } 2>/dev/null; then
		set +C
		return 0
	fi
	set +C
	return 1
}
