# The watcher: `$1` folder of the command in the spool, `$2` mark, `$3` time limit in hundredths,
# `$4` limit of output in bytes, `$5` folder, then the command. Its standard output is a pipe to the
# launcher, which may be gone: "late" when the command takes its time, "beat" now and then, and the
# status.
#
#   watcher --- setsid command --> pipe --> cat >>out
#         '---- guard: time and output limits
#
# Output goes through a pipe and not straight into the file, because a command that opens
# /dev/stderr would empty a file. The command is no job in the background, because those are deaf to
# SIGINT.
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
	end=$((begin + limit)) nap=10 was=0 naps=0 ended= c=
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
		[ -n "$c" ] || read -r c _ <"$d/command"
		# Somebody removed its folder: nobody could follow it, or end it.
		[ -d "$d" ] || { sweep '' && exit; }
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
# and it was quick. Session 0 is the kernel, or outside of the container.
left() {
	now
	[ $((now - begin)) -lt 200 ] || return 0
	others= p=$c tries=0
	while
		read -r _ _ _ _ last </proc/loadavg
		[ "$p" -ne "$last" ]
	do
		[ "$last" -gt "$p" ] && [ $((last - p)) -lt 1000 ] || return 0
		while [ "$p" -lt "$last" ]; do
			p=$((p + 1))
			[ -d "/proc/$p" ] && process "$p" || continue
			case $session in
			"$c") return 0 ;;
			"$$" | 0) ;;
			*) others="$others /proc/$p/environ" ;;
			esac
		done
	done
	while [ -n "$others" ]; do
		[ -z "$(marked $others)" ] || return 0
		# A process that is about to become another program shows no environment for a moment.
		named=" $(grep -lsz . $others | tr '\n' ' ')"
		set -- $others
		others=
		for o; do
			case $named in
			*" $o "*) ;;
			*) p=${o#/proc/} && process "${p%/environ}" && others="$others $o" ;;
			esac
		done
		[ -n "$others" ] || break
		tries=$((tries + 1))
		[ "$tries" -lt 10 ] || return 0
		sleep 0.01
	done
	return 1
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

mkfifo "$d/pipe" || not_started "$full"
guard </dev/null &
g=$!
cat <"$d/pipe" >>"$d/out" &
store=$!
echo "$store" >"$d/store"
in=$d/in
[ -f "$in" ] || in=/dev/null
(
	process self
	echo "${stat%% *} $start" >"$d/command"
	# By its level a shell knows that it is not the login shell, whose files may say something.
	export EVONIC_CALL="$mark" SHLVL=1
	exec setsid -- "$@" 2>&1
) <"$in" >"$d/pipe"
code=$? word=exited swept=0
# This shell notes a death by signal on its standard error; but not SIGINT and SIGPIPE.
[ "$code" -le 128 ] || [ ! -s "$d/note" ] || { word=signalled && code=$((code - 128)); }
{ read -r c _ <"$d/command"; } 2>/dev/null && left && sweep "$c"
echo ended 1<>"$d/exit"
wait "$store"
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
