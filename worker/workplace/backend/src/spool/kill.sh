# Kills a command: `$1` nonce, `$2` folder of all spools, `$3` command id. What has not begun never
# will.
# shellcheck shell=sh disable=SC2034,SC2154
nonce=$1 s=$2 id=$3
d=$s/$id
printf '%s\n' "$nonce"
ready
[ -d "$d" ] || e=$(mkdir -m 700 "$d" 2>&1) || [ -d "$d" ] || refuse "$e"
c=
if ! status && ! claim 'cancelled 0 0'; then
	set -C
	{ echo cancelled >"$d/why"; } 2>/dev/null
	set +C
	# The watcher may be about to start it.
	i=0
	until { read -r c _ <"$d/command"; } 2>/dev/null || status || [ "$i" -ge 50 ]; do
		i=$((i + 1))
		sleep 0.02
	done
	leader
fi
sweep ''
# Nobody else says so when the watcher is gone.
if ! watched && ! status; then
	line="cancelled 0 $swept"
	settle
fi
say "killed $swept"
exit 0
