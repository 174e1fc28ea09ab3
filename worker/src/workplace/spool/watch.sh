# The watcher: `$1` folder of the command in the spool, `$2` mark, `$3` time limit in hundredths,
# `$4` limit of output in bytes, `$5` folder, then the command. Its standard output is a pipe to the
# launcher, which may be gone: "late" when the command takes its time, "beat" now and then, and the
# status.
#
#   watcher ---- guard                  time and output limits
#      |--- main ---> setsid command    waits for it, kills what it leaves behind
#      '--- store                       cat: its output to the file
#
# Output goes through a pipe and not straight into the file, because a command that opens
# /dev/stderr would empty a file.
d=$1 mark=$2 limit=$3 max=$4 folder=$5
shift 5
now
begin=$now
machine
process $$
full="$d cannot be written to; is the disk full?"
# The last word, written over blanks that have their place on the disk already.
finish() {
	trap '' PIPE TERM
	printf '%s\n' "$1" 1<>"$d/status"
	printf '%s\n' "$1"
	kill -s TERM 0
	exit 0
}

not_started() {
	n=${IFS#??}
	finish "notstarted ${1%%"$n"*}"
}

guard() {
	trap '' PIPE
	end=$((begin + limit)) nap=10 was=0 naps=0 ended=
	while :; do
		now
		[ -n "$ended" ] || [ "$now" -lt "$end" ] || { why=timedout && break; }
		[ -n "$ended" ] || [ $((end - now)) -ge "$nap" ] || nap=$((end - now))
		case $nap in
		?) sleep "0.0$nap" ;;
		??) sleep "0.$nap" ;;
		*) sleep 1 ;;
		esac
		process $$ || exit
		[ "$naps" -gt 0 ] || echo late
		naps=$((naps + 1))
		[ $((naps % 5)) -gt 0 ] || echo beat
		if read -r _ <"$d/exit"; then
			# It ended, and something that hid from the sweep still holds its output.
			[ -z "$ended" ] || { read -r k <"$d/store" && kill -s TERM "$k"; }
			ended=1 nap=20
			continue
		fi
		size=$(wc -c <"$d/out")
		[ "$size" -le "$max" ] || { why=toomuch && break; }
		nap=$((nap * 2))
		[ "$nap" -le 100 ] || nap=100
		[ $((size - was)) -le $(((max - size) / 2)) ] || nap=5
		was=$size
	done
	set -C
	echo "$why" >"$d/why"
	set +C
	until read -r c _ <"$d/command"; do
		process $$ || exit
		sleep 0.02
	done
	sweep "$c"
	echo "$swept" >"$d/swept"
} 2>/dev/null

# Whether something may be left: looks only at pids that were handed out since, when they are few
# and it was quick.
left() {
	now
	read -r _ _ _ _ last </proc/loadavg
	[ $((now - begin)) -lt 200 ] && [ "$last" -ge "$c" ] && [ $((last - c)) -lt 1000 ] || return 0
	others= p=$c
	while [ "$p" -lt "$last" ]; do
		p=$((p + 1))
		[ -d "/proc/$p" ] && process "$p" || continue
		[ "$session" != "$c" ] || return 0
		[ "$session" = $$ ] || others="$others /proc/$p/environ"
	done
	[ -n "$others" ] && [ -n "$(marked $others)" ]
}

main() {
	in=$d/in
	[ -f "$in" ] || in=/dev/null
	(
		process self
		echo "${stat%% *} $start" >"$d/command"
		export EVONIC_CALL="$mark"
		exec setsid -- "$@" 2>&1
	) <"$in"
	code=$? word=exited swept=0
	# The shell notes a death by signal on its standard error.
	[ "$code" -le 128 ] || [ ! -s "$d/note" ] || { word=signalled && code=$((code - 128)); }
	{ read -r c _ <"$d/command"; } 2>/dev/null && left && sweep "$c"
	echo "$word $code $swept" 1<>"$d/exit"
}

store() {
	process self
	echo "${stat%% *}" >"$d/store"
	exec cat >>"$d/out"
}

set -C
if ! { echo "$$ $start $machine" >"$d/watcher"; } 2>/dev/null; then
	# Somebody took its place: too late.
	[ ! -s "$d/watcher" ] || exit
	not_started "$full"
fi
set +C
exec 2>"$d/note"
{ printf '%299s' '' >"$d/status" && printf '%99s' '' >"$d/exit" && : >"$d/out"; } ||
	not_started "$full"
case $folder in
'') ;;
/*) ;;
*) folder=./$folder ;;
esac
if [ -n "$folder" ] && ! CDPATH= cd "$folder"; then
	[ -e "$folder" ] || not_started "folder $folder does not exist"
	[ -d "$folder" ] || not_started "$folder is no folder"
	not_started "folder $folder cannot be entered: permission denied"
fi
where=
case $1 in
*/*) where=$1 ;;
*)
	set -f
	fields=$IFS IFS=:
	for p in $PATH; do
		[ -f "${p:-.}/$1" ] || continue
		where=${p:-.}/$1
		[ ! -x "$where" ] || break
	done
	IFS=$fields
	set +f
	;;
esac
[ -e "$where" ] || not_started "$1: program not found"
[ ! -d "$where" ] || not_started "$1 is a folder"
[ -x "$where" ] || not_started "$1 may not be executed: permission denied"

guard </dev/null &
g=$!
main "$@" | store
word=watcherkilled code=0 swept=0
read -r word code swept <"$d/exit" || word=watcherkilled
case $word.$code in
exited.12[67])
	# setsid could not become the command: an interpreter is missing, an argument too long.
	{ IFS= read -r line && ! read -r _; } <"$d/out" && case $line in
	'setsid: '*) [ "$where" = "${where%setsid}" ] && not_started "${line#setsid: }" ;;
	esac
	;;
esac
if { read -r why <"$d/why"; } 2>/dev/null; then
	# The guard goes on until it is ended, unless it was the one that killed.
	[ "$why" = cancelled ] || wait "$g"
	{ read -r swept <"$d/swept"; } 2>/dev/null
	word=$why code=0
fi
finish "$word $code $swept"
