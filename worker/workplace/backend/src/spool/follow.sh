# The follower: `$1` nonce, `$2` folder of all spools, `$3` command id, `$4` forgotten command ids,
# `$5` first byte to show. A folder that is missing is made, so that a late launcher does not start
# anything.
# shellcheck shell=sh disable=SC2034,SC2154
nonce=$1 s=$2 id=$3 from=$5
d=$s/$id
printf '%s\n' "$nonce"
ready
clear_forgotten "$4"
if [ ! -e "$d" ] && [ ! -L "$d" ]; then
	if e=$(mkdir -m 700 "$d" 2>&1); then
		claim 'norecord 0 0'
	else
		[ -e "$d" ] || refuse "$e"
	fi
fi
follow
exit 0
