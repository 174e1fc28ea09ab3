# Kills a command: `$1` nonce, `$2` folder of all spools, `$3` command id. What has not begun never
# will.
# shellcheck shell=sh disable=SC2034,SC2154
nonce=$1 s=$2 id=$3
d=$s/$id
printf '%s\n' "$nonce"
ready
[ -e "$d" ] || [ -L "$d" ] || e=$(mkdir -m 700 "$d" 2>&1) || [ -e "$d" ] || refuse "$e"
c=
if recorded && ! status && ! claim 'cancelled 0 0'; then
	put_new "$d/why" cancelled
	# The watcher may be about to start it.
	i=0
	until look command || status || [ "$i" -ge 50 ]; do
		i=$((i + 1))
		sleep 0.02
	done
	leader
fi
sweep ''
# Nobody else says so when the watcher is gone.
if recorded && ! watched && ! status; then
	line="cancelled 0 $swept"
	settle
fi
say "killed $swept"
exit 0
