# Tidies up: `$1` nonce, `$2` folder of all spools, `$3` forgotten command ids, `$4` minutes for
# which a record is kept. The record of a command that runs stays.
# shellcheck shell=sh disable=SC2034,SC2154
nonce=$1 s=$2
printf '%s\n' "$nonce"
if [ ! -d "$s" ] || [ -L "$s" ]; then
	say tidied
	exit 0
fi
cd "$s" || refuse "$s cannot be entered"
# shellcheck disable=SC2086
[ -z "$3" ] || rm -rf -- $3
find . ! -name . -prune -type d -mmin "+$4" | while IFS= read -r d; do
	say .
	! watched || continue
	[ -n "$(find "$d" -name status -mmin "-$4")" ] || rm -rf "$d"
done
find . ! -name . -prune ! -type d -mmin "+$4" -exec rm -f {} +
say tidied
exit 0
