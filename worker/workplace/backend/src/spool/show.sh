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

# Beside the command stands who may write to its record: the command. So a file of it may be
# anything by now. Only regular files are read and written, by a descriptor that was compared with
# the name; they are opened to be written, because that waits for no other end of a pipe. What is
# anything else counts as missing.

# The folder of all spools.
ready() {
	[ ! -L "$s" ] || refuse "$s is a link"
	# shellcheck disable=SC2174
	[ -d "$s" ] || e=$(mkdir -p -m 700 "$s" 2>&1) || refuse "$e"
}

clear_forgotten() {
	[ -n "$1" ] || return 0
	# shellcheck disable=SC2086
	(cd "$s" && exec rm -rf -- $1) </dev/null >/dev/null 2>&1 &
}

# Whether there is a record, and it is a folder.
recorded() {
	[ -d "$d" ] && [ ! -L "$d" ]
}

# The beginning of the first line of a file of the record, in `seen`.
look() {
	seen=
	plain "$d/$1" && {
		opened "$d/$1" && seen=$(exec head -c 400 <&5)
	} 5<>"$d/$1"
	seen=${seen%%"$n"*}
	[ -n "$seen" ]
} 2>/dev/null
n=${IFS#??}

# The status once it is whole; it is written over blanks.
status() {
	line=
	look status || return 1
	case $seen in
	[a-z]*) line=$seen ;;
	*) return 1 ;;
	esac
}

# Writes a status for a watcher that cannot.
settle() {
	[ ! -L "$d/status" ] || return 0
	plain "$d/status" || [ ! -e "$d/status" ] || return 0
	{ opened "$d/status" && printf '%s\n' "$line" >&5; } 5<>"$d/status"
} 2>/dev/null

# The words of a line that was looked at, as `one`, `two` and `three`, which is the rest.
words() {
	set -f
	# shellcheck disable=SC2086
	set -- $seen
	set +f
	one=$1 two=$2 three=$3${4:+ $4}
}

# Whether its watcher lives.
watched() {
	w='' boot=''
	look watcher || return 1
	words
	w=$one since=$two boot=$three
	[ "$w" = none ] || pid "$w" || return 1
	machine
	[ "$boot" = "$machine" ] && process "$w" && [ "$start" = "$since" ]
}

# Whether this is a process's number, and not the first one's.
pid() {
	case $1 in
	'' | 0* | 1 | *[!0-9]* | ??????????*) return 1 ;;
	esac
}

# The command's pid, unless somebody else has it by now. While it is asked for, it is `c`.
leader() {
	c=
	look command || return 0
	words
	! pid "$one" || c=$one
	{ [ -n "$c" ] && process "$c" && [ "$start" != "$two" ]; } && c=
	return 0
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

# Waits for the end of a command that nothing follows.
until_outcome() {
	i=0
	until outcome; do
		sleep 0.1
		i=$((i + 1))
		[ $((i % 50)) -gt 0 ] || say .
	done
}

# Takes the place of a watcher that did not come, so that it never will.
claim() {
	put_new "$d/watcher" "none $1" || return 1
	line="$1"
	settle
}

# Waits for the watcher, which a launcher may be about to start: 3 s, then it is too late for it.
await() {
	i=0
	until status || look watcher; do
		i=$((i + 1))
		if [ "$i" -ge 60 ]; then
			claim "$1" && return
			look watcher && return
			line="watcherkilled 0 0"
			settle
			return
		fi
		sleep 0.05
	done
}

# Opens the output as descriptor 5.
open_output() {
	i=0
	until plain "$d/out"; do
		i=$((i + 1))
		[ "$i" -lt 20 ] && [ ! -L "$d/out" ] && [ ! -e "$d/out" ] || return 1
		sleep 0.05
	done
	{ command exec 5<>"$d/out"; } 2>/dev/null && opened "$d/out"
}

# The rest, when the command has ended and nothing follows it.
rest() {
	if plain "$d/out" && open_output; then
		if [ "$from" -gt 0 ]; then
			tail -c "+$((from + 1))" /proc/self/fd/5 2>/dev/null
		elif [ -s /proc/self/fd/5 ]; then
			cat /proc/self/fd/5
		fi
	fi
	say "end - $line"
}

# Follows the output, if there is any. When this shell dies so does the tail, at once or with its
# next byte.
start_tail() {
	t=
	open_output || return 0
	trap 'kill "$t" 2>/dev/null; exit 1' PIPE TERM HUP
	case $(tail --help 2>&1) in
	*--pid*) tail --pid=$$ -c "+$((from + 1))" -f /proc/self/fd/5 </dev/null 2>/dev/null & ;;
	*) tail -c "+$((from + 1))" -f /proc/self/fd/5 </dev/null 2>/dev/null & ;;
	esac
	t=$!
}

# Ends the tail when it has read all; what it did not write the reader will miss, and ask for.
end_tail() {
	[ -n "$t" ] || { say "end - $line" && return; }
	size=$(wc -c </proc/self/fd/5)
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
	recorded || { say 'end - norecord 0 0' && return; }
	await 'norecord 0 0'
	if outcome; then
		rest
		return
	fi
	start_tail
	until_outcome
	end_tail
}
