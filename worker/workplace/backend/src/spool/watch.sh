# The watcher: `$1` folder of the command in the spool, `$2` command id, `$3` time limit in
# hundredths, `$4` limit of output in bytes, `$5` folder, then the command. Its standard output is a
# pipe to the launcher, which may be gone: "late" when the command takes its time, "beat" now and
# then, and the status.
#
#   watcher --- setsid command --> pipe --> cat >>out (the store)
#         '---- guard: time and output limits
#
# Output goes through a pipe and not straight into the file, because a command that opens
# /dev/stderr would empty a file. The command is no job in the background, because those are deaf to
# SIGINT.
#
# The command may do with its record what it likes. So the files are opened before it starts, and
# reached by these descriptors: 5 `out`, 6 `exit`, 7 `command`, 8 `status`. By a name nothing is
# opened that could be a pipe without another end, or a link.
# shellcheck shell=sh disable=SC2034,SC2154
d=$1 id=$2 limit=$3 max=$4 folder=$5
shift 5
now
begin=$now
machine
process $$
full="$d cannot be written to; is the disk full?"
# Writes the status over blanks that have their place on the disk already.
into=$d/status
finish() {
	trap '' PIPE TERM
	printf '%s\n' "$1" 1<>"$into"
	printf '%s\n' "$1"
	kill -s TERM 0
	exit 0
}

not_started() {
	n=${IFS#??}
	finish "notstarted ${1%%"$n"*}"
}

# The command, as `c`: as it wrote, or, when its folder is gone, as the one child that leads a
# session.
command_pid() {
	read -r c _ </proc/self/fd/7 && return
	c=$(grep -ls "^\([0-9]*\) (.*) [A-Z] $$ \1 \1 " /proc/[0-9]*/stat)
	c=${c#/proc/}
	c=${c%%/*}
	[ -n "$c" ]
} 2>/dev/null

guard() {
	trap '' PIPE
	end=$((begin + limit + coarse)) nap=10 was=0 naps=0 ended='' c='' why=''
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
		[ -n "$c" ] || read -r c _ </proc/self/fd/7
		# Its folder was removed, or something else put there: nobody could follow it, or end it.
		plain "$d/out" || break
		if read -r _ </proc/self/fd/6; then
			# It ended, and something that hid from the sweep still holds its output.
			[ -z "$ended" ] || kill -s TERM "$store"
			ended=1 nap=50
			continue
		fi
		size=$(wc -c </proc/self/fd/5)
		[ "${size:-0}" -le "$max" ] || { why=toomuch && break; }
		nap=$((nap * 2))
		[ "$nap" -le 100 ] || nap=100
		[ $((size - was)) -le $(((max - size) / 2)) ] || nap=5
		was=$size
	done
	[ -z "$why" ] || put_new "$d/why" "$why"
	naps=0
	until [ -n "$c" ] || command_pid || [ "$naps" -ge 500 ]; do
		process $$ || exit
		naps=$((naps + 1))
		sleep 0.02
	done
	sweep "$c"
	[ -z "$why" ] || put_new "$d/swept" "$swept"
	[ -n "$why" ] || kill -s TERM "$store"
} 2>/dev/null

# Whether something may be left: looks only at pids that were handed out since, when they are few
# and it was quick. Session 0 is the kernel, or outside of the container. What left the command's
# session is in one that is younger than it; its command id tells it from others. What may not be
# read has no command id to be found by.
left() {
	now
	[ $((now - begin)) -lt 200 ] || return 0
	others='' p=$c tries=0
	while
		read -r _ _ _ _ last </proc/loadavg
		[ "$p" -ne "$last" ] || [ -n "$others" ]
	do
		[ "$last" -ge "$p" ] && [ $((last - p)) -lt 1000 ] || return 0
		while [ "$p" -lt "$last" ]; do
			p=$((p + 1))
			# shellcheck disable=SC2015
			[ -d "/proc/$p" ] && process "$p" || continue
			[ "$session" != "$c" ] || return 0
			[ "$session" -gt "$c" ] && [ "$session" -le "$last" ] &&
				true <"/proc/$p/environ" && others="$others $p"
		done
		[ -n "$others" ] || continue
		tries=$((tries + 1))
		[ "$tries" -lt 10 ] || return 0
		lack_id || return 0
		[ -z "$others" ] || sleep 0.01
	done
	return 1
} 2>/dev/null

# Whether none of the others has the command id; they are now those that can have hidden it, by
# becoming another program.
lack_id() {
	images='' files=''
	for o in $others; do
		process "$o" || continue
		images="$images $o.$image" files="$files /proc/$o/environ"
	done
	others=
	[ -n "$files" ] || return 0
	# shellcheck disable=SC2086
	have_id $files
	[ -z "$found" ] || return 1
	for o in $images; do
		process "${o%.*}" || continue
		[ "$image" != 0 ] && [ "$image" = "${o#*.}" ] || others="$others ${o%.*}"
	done
}

# The beginning of a file that somebody else may have put there.
first_line() {
	plain "$1" && { opened "$1" && head -c 20 <&5; } 5<>"$1"
} 2>/dev/null

# Nobody sits before the command: an editor ends at once and says why, and a pager is none. What is
# set already stays.
unattended() {
	TERM=${TERM-dumb} PAGER=${PAGER-cat} GIT_PAGER=${GIT_PAGER-cat}
	MANPAGER=${MANPAGER-cat} SYSTEMD_PAGER=${SYSTEMD_PAGER-cat}
	GIT_TERMINAL_PROMPT=${GIT_TERMINAL_PROMPT-0}
	DEBIAN_FRONTEND=${DEBIAN_FRONTEND-noninteractive}
	export TERM PAGER GIT_PAGER MANPAGER SYSTEMD_PAGER GIT_TERMINAL_PROMPT DEBIAN_FRONTEND
	[ -z "${EDITOR+set}${VISUAL+set}" ] || return 0
	# shellcheck disable=SC2016
	editor='sh -c ${no_editor:?$EVONIC_NO_EDITOR}'
	EDITOR=$editor VISUAL=$editor GIT_EDITOR=${GIT_EDITOR-$editor}
	GIT_SEQUENCE_EDITOR=${GIT_SEQUENCE_EDITOR-$editor}
	EVONIC_NO_EDITOR='there is no terminal here, and so no editor: write the file with write_file or edit_file, give the text as an option or a file (git commit -m, crontab FILE), or take it as it is with GIT_EDITOR=true'
	export EDITOR VISUAL GIT_EDITOR GIT_SEQUENCE_EDITOR EVONIC_NO_EDITOR
}

# What holds the output when the command has ended may have something to say: it has 200 ms to end.
linger() {
	i=0
	until [ "$i" -ge 10 ] || [ -e "$d/why" ] || ! process "$store"; do
		i=$((i + 1))
		sleep 0.02
	done
}

set -C
if ! true >"$d/watcher"; then
	# Somebody took its place: too late.
	[ ! -e "$d/watcher" ] || exit
	not_started "$full"
fi
set +C
echo "$$ $start $machine" 1<>"$d/watcher" || not_started "$full"
# A pipe that costs no process: shells hand a short text over by one. Where they do not, a fifo.
exec 3<<E
.
E
if [ -p /proc/self/fd/3 ] && true >/proc/self/fd/3; then
	exec 4>/proc/self/fd/3
	read -r _ <&3
else
	mkfifo "$d/pipe" || not_started "$full"
	exec 3<>"$d/pipe"
	exec 4>"$d/pipe"
	exec 3<"$d/pipe"
fi
{ true >"$d/note"; } 2>/dev/null || not_started "$full"
exec 2>"$d/note"
{
	printf '%299s' '' >"$d/status" && printf '%99s' '' >"$d/exit" &&
		: >"$d/out" && : >"$d/command"
} || not_started "$full"
exec 5<>"$d/out" 6<>"$d/exit" 7<>"$d/command" 8<>"$d/status"
into=/proc/self/fd/8
case $folder in
'') ;;
/*) ;;
*) folder=./$folder ;;
esac
if [ -n "$folder" ] && ! CDPATH='' cd "$folder"; then
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

cat <&3 >>/proc/self/fd/5 3<&- 4>&- 5<&- 6<&- 7<&- 8<&- &
store=$!
# By `exec`, because dash keeps what is closed for a function alone, and so the pipe open.
(
	exec </dev/null 3<&- 4>&-
	guard
) &
g=$!
exec 3<&-
in=$d/in
[ -f "$in" ] || in=/dev/null
(
	process self
	echo "${stat%% *} $start" >&7
	exec 7<&-
	# Who kills it says so first, and looks for the pid then.
	[ ! -e "$d/why" ] || exit
	# By its level a shell knows that it is not the login shell, whose files may say something.
	export EVONIC_CALL="$id" SHLVL=1
	unattended
	exec setsid -- "$@" 2>&1
) <"$in" >&4 4>&- 5<&- 6<&- 8<&-
code=$? word=exited swept=0
exec 4>&-
echo ended >&6
# This shell notes a death by signal on its standard error; but not SIGINT and SIGPIPE.
[ "$code" -le 128 ] || [ ! -s /proc/self/fd/2 ] || { word=signalled && code=$((code - 128)); }
if ! read -r c _ </proc/self/fd/7; then
	c=
	sweep ''
elif left; then
	linger
	# What closed the output as it ended may be dying still.
	sleep 0.02
	! left || sweep "$c"
fi
wait "$store"
stored=$?
case $word.$code in
exited.12[67])
	# setsid could not become the command: an interpreter is missing, an argument too long.
	{ IFS= read -r line && ! read -r _; } </proc/self/fd/5 && case $line in
	'setsid: '*) [ "$where" = "${where%setsid}" ] && not_started "${line#setsid: }" ;;
	esac
	;;
esac
if [ -e "$d/why" ] || [ -L "$d/why" ]; then
	# It may be there, but not yet written.
	i=0
	until why=$(first_line "$d/why") && [ -n "$why" ] || [ "$i" -ge 50 ]; do
		i=$((i + 1))
		sleep 0.02
	done
	case $why in
	# The guard goes on until it is ended, unless it was the one that killed.
	timedout | toomuch) wait "$g" ;;
	*) why=cancelled ;;
	esac
	swept=$(first_line "$d/swept")
	case $swept in
	'' | *[!0-9]* | ??????????*) swept=0 ;;
	esac
	word=$why code=0
fi
plain "$d/out" || { word=norecord && code=0; }
# Whoever kills it ends it by a signal.
case $word.$stored in
exited.0 | signalled.0) ;;
exited.[1-9] | exited.[1-9][0-9] | signalled.[1-9] | signalled.[1-9][0-9])
	e=$({ head -c 65536 /dev/zero >"$d/room"; } 2>&1) || e=${e##*: }
	rm -f "$d/room"
	finish "unstored ${e:-the file of its output cannot be written}"
	;;
esac
finish "$word $code $swept"
