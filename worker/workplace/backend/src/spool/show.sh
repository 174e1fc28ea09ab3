# Showing: `nonce` begins every line of standard error that is ours, and stands before the output on
# standard output: a login shell may have said something of its own. Standard output carries the
# bytes of the output from `from` on, in order, and nothing else; whoever reads counts them.
# shellcheck shell=sh disable=SC2034,SC2154

say() {
	printf '%s %s\n' "$nonce" "$1" >&2
}

refuse() {
	say "refused $1"
	exit 0
}

# The folder of all spools.
ready() {
	# shellcheck disable=SC2174
	[ -d "$s" ] || e=$(mkdir -p -m 700 "$s" 2>&1) || refuse "$e"
}

clear_forgotten() {
	[ -n "$1" ] || return 0
	# shellcheck disable=SC2086
	(cd "$s" && exec rm -rf -- $1) </dev/null >/dev/null 2>&1 &
}

# The status once it is whole; it is written over blanks.
status() {
	{ IFS= read -r line <"$d/status"; } 2>/dev/null || line=
	case $line in
	[a-z]*) ;;
	*) line='' && return 1 ;;
	esac
}

# Writes a status for a watcher that cannot.
settle() {
	{ printf '%s\n' "$line" 1<>"$d/status"; } 2>/dev/null
}

# Whether its watcher lives.
watched() {
	{ read -r w since boot <"$d/watcher"; } 2>/dev/null || { w='' boot='' && return 1; }
	machine
	[ "$boot" = "$machine" ] && process "$w" && [ "$start" = "$since" ]
}

# How it ended, in `line`; fails while it runs. Without a watcher nobody can know; who took its
# place said so there.
outcome() {
	! status || return 0
	! watched || return 1
	! status || return 0
	if [ "$w" = none ]; then
		line="$since $boot"
		settle
		return 0
	fi
	c=
	case $boot in
	"$machine") leader && line=watcherkilled ;;
	'') line=norecord ;;
	*) line=restarted ;;
	esac
	sweep ''
	line="$line 0 $swept"
	settle
}

# Takes the place of a watcher that did not come, so that it never will.
claim() {
	set -C
	if { echo "none $1" >"$d/watcher"; } 2>/dev/null; then
		set +C
		line="$1"
		settle
		return 0
	fi
	set +C
	return 1
}

# Waits for the watcher, which a launcher may be about to start: 3 s, then it is too late for it.
await() {
	i=0
	until status || { read -r _ <"$d/watcher"; } 2>/dev/null; do
		i=$((i + 1))
		if [ "$i" -ge 60 ]; then
			claim "$1" && return
			{ read -r _ <"$d/watcher"; } 2>/dev/null && return
			line="watcherkilled 0 0"
			settle
			return
		fi
		sleep 0.05
	done
}

# The rest, when the command has ended and nothing follows it.
rest() {
	if [ "$from" -gt 0 ]; then
		tail -c "+$((from + 1))" "$d/out" 2>/dev/null
	elif [ -s "$d/out" ]; then
		cat "$d/out"
	fi
	say "end - $line"
}

# Follows the output. When this shell dies so does the tail, at once or with its next byte.
start_tail() {
	trap 'kill "$t" 2>/dev/null; exit 1' PIPE TERM HUP
	case $(tail --help 2>&1) in
	*--pid*) tail --pid=$$ -c "+$((from + 1))" -f "$d/out" </dev/null 2>/dev/null & ;;
	*) tail -c "+$((from + 1))" -f "$d/out" </dev/null 2>/dev/null & ;;
	esac
	t=$!
}

# Ends the tail when it has read all; what it did not write the reader will miss, and ask for.
end_tail() {
	size=$(wc -c <"$d/out")
	i=0
	while [ "$i" -lt 10 ]; do
		for f in "/proc/$t/fdinfo"/*; do
			{ read -r _ pos <"$f"; } 2>/dev/null && [ "$pos" = "$size" ] && i=10
		done
		i=$((i + 1))
		sleep 0.01
	done
	kill "$t" 2>/dev/null
	wait "$t" 2>/dev/null
	say "end $((size)) $line"
}

# Follows a command that somebody else launched.
follow() {
	await 'norecord 0 0'
	if outcome; then
		rest
		return
	fi
	start_tail
	i=0
	until outcome; do
		sleep 0.1
		i=$((i + 1))
		[ $((i % 50)) -gt 0 ] || say .
	done
	end_tail
}
