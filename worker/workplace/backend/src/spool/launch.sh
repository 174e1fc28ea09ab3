# The launcher: `$1` nonce, `$2` folder of all spools, `$3` command id, `$4` forgotten command ids,
# `$5` first byte to show, `$6` text of the watcher, `$7` folder, `$8` time limit in hundredths,
# `$9` limit of output, `${10}` size of the input, then the command.
# shellcheck shell=sh disable=SC2034,SC2154
nonce=$1 s=$2 id=$3 from=$5 watch=$6 folder=$7 limit=$8 max=$9 size=${10}
d=$s/$id
printf '%s\n' "$nonce"
command -v setsid >/dev/null || refuse 'the program setsid is missing; install util-linux'
command -v sleep >/dev/null || refuse 'the program sleep is missing; install coreutils'
ready
clear_forgotten "$4"
shift 10
if [ ! -d "$d" ] && [ "$size" -gt 0 ]; then
	# Before the lock is taken: when the link breaks in the middle, the next launcher begins anew.
	input=$s/.$id.$$
	e=$(exec 2>&1; cat >"$input") || refuse "$e"
	[ "$(($(wc -c <"$input")))" -eq "$size" ] || { rm -f "$input" && exit 1; }
fi

finish() {
	line=
	IFS= read -r line
	if [ "$line" != late ]; then
		[ -n "$line" ] || { await 'norecord 0 0' && until_outcome; }
		rest
		return
	fi
	start_tail
	while IFS= read -r line && [ "$line" = beat ]; do
		say .
	done
	[ -n "$line" ] || until_outcome
	end_tail
}

if e=$(mkdir -m 700 "$d" 2>&1); then
	if [ "$size" -gt 0 ]; then
		mv "$input" "$d/in" || refuse "$d cannot be written to"
	fi
	if [ -z "$BASH_VERSION" ]; then
		setsid /bin/sh -c "$watch" evonic "$d" "$id" "$limit" "$max" "$folder" "$@" \
			</dev/null 2>/dev/null | finish
	else
		# With -c, bash does not note by which signal a command died.
		printf '%s' "$watch" |
			setsid /bin/sh -s -- "$d" "$id" "$limit" "$max" "$folder" "$@" 2>/dev/null |
			finish
	fi
elif recorded; then
	[ "$size" -eq 0 ] || rm -f "$input"
	follow
else
	refuse "$e"
fi
exit 0
