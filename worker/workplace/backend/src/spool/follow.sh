# The follower: `$1` nonce, `$2` folder of all spools, `$3` mark, `$4` forgotten marks, `$5` first
# byte to show. A folder that is missing is made, so that a late launcher does not start anything.
nonce=$1 s=$2 mark=$3 from=$5
d=$s/$mark
printf '%s\n' "$nonce"
ready
clear_forgotten "$4"
if [ ! -d "$d" ] && e=$(mkdir -m 700 "$d" 2>&1); then
	claim 'norecord 0 0'
fi
[ -d "$d" ] || refuse "$e"
follow
exit 0
