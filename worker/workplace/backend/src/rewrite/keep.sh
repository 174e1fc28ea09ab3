# Gives the draft `$3` what the file `$2` has beside its content: owner, mode, access control list,
# extended attributes; by the tools that made them there, where there are any. `$1` nonce, `$4` mode
# of the file, `$5` mode wanted instead or nothing, `$6` `whole` or `orinplace`. The draft is its
# owner's alone until it has its owner and group, and gets its rights last. Lines of ours begin with
# the nonce: `links N`, `lost WHAT`, and at the end `inplace`, `denied`, `unkeepable WHAT: WHY`,
# `failed WHY` or `kept`.
# shellcheck shell=sh disable=SC2016
LC_ALL=C
export LC_ALL
nonce=$1 file=$2 draft=$3 mode=$4 wanted=$5 how=$6
say() { printf '\n%s %s\n' "$nonce" "$*"; }
end() {
	say "$@"
	exit 0
}
unkeepable() {
	[ "$how" = whole ] || end inplace
	end "unkeepable $1: $(printf %s "$2" | tr '\n' ' ' | head -c 300)"
}
# Rights, links, user and group of a file.
look() {
	set -f
	# shellcheck disable=SC2046
	set -- $(ls -lnd -- "$1" 2>/dev/null)
	set +f
	[ $# -ge 4 ] || return 1
	rights=$1 links=$2 user=$3 group=$4
}
[ ! -d "$file" ] || end 'failed Is a directory'
[ -w "$file" ] || end denied
look "$file" || end 'failed its owner cannot be read'
[ "$links" -le 1 ] || [ "$how" = whole ] || end inplace
case $rights in *+) list=1 ;; *) list= ;; esac
say "links $links"
was_user=$user was_group=$group
chown "$user:$group" "$draft" 2>/dev/null || chgrp "$group" "$draft" 2>/dev/null
look "$draft" || end 'failed the owner of the new file cannot be read'
if [ "$user" != "$was_user" ] || [ "$group" != "$was_group" ]; then
	[ "$how" = whole ] || end inplace
	say "lost its owner (user $was_user, group $was_group before; user $user, group $group now)"
fi
[ ! -e /sys/fs/selinux/enforce ] || chcon --reference="$file" "$draft" 2>/dev/null ||
	say 'lost its SELinux label'
# Another user's file sets no user, another group's no group, and that gets no more than everybody.
mode=$((0$mode & 07777)) same=1
[ "$user" = "$was_user" ] || { mode=$((mode & 03777)) && same=; }
[ "$group" = "$was_group" ] || { mode=$((mode & (05707 | (mode & 7) << 3))) && same=; }
size=$(($(wc -c <"$draft")))
copied='' kept=''
if cp --help 2>&1 | grep -q -e '--attributes-only'; then
	what=xattr
	# A narrower mode that is wanted is not passed by, even for a moment.
	[ -z "$same" ] || { [ -n "$wanted" ] && [ -z "$list" ]; } || what=mode,xattr
	if e=$(cp --attributes-only --preserve=$what -- "$file" "$draft" 2>&1); then
		copied=1
		[ "$what" = xattr ] || list='' kept=1
	elif [ -n "$list" ] || case $e in *'built without'* | *upport*) false ;; *) : ;; esac; then
		unkeepable 'its attributes' "$e"
	fi
	[ "$(($(wc -c <"$draft")))" -eq "$size" ] || end 'failed cp changed the new file'
fi
if [ -z "$copied" ] && command -v getfattr >/dev/null && command -v setfattr >/dev/null; then
	e=$(
		exec 2>&1
		cd "${draft%/*}/" &&
			getfattr --absolute-names -d -m '^user[.]' -e hex "$file" |
			sed "1s|.*|# file: ${draft##*/}|" | setfattr --restore=-
	) || unkeepable 'its attributes' "$e"
fi
if [ -z "$copied" ] && command -v getfacl >/dev/null && [ -n "$(getfacl -cps "$file" 2>/dev/null)" ]; then
	list=1
fi
if [ -n "$list" ]; then
	[ -n "$same" ] || unkeepable 'its access control list' 'its group may not be given'
	command -v setfacl >/dev/null ||
		unkeepable 'its access control list' 'the programs getfacl and setfacl are not installed'
	e=$(
		exec 2>&1
		getfacl -cp "$file" | setfacl --set-file=- "$draft"
	) || unkeepable 'its access control list' "$e"
	kept=1
fi
# With a list the group's bits are its mask, which gets no right that it had not. One that the
# folder gave to the draft goes.
look "$draft"
case $kept$rights in
-*+)
	setfacl -b "$draft" || unkeepable 'its mode' 'setfacl is not installed'
	look "$draft" || end 'failed its owner cannot be read'
	;;
esac
case $rights in
*+) [ -z "$wanted" ] || mode=$((0$wanted & (07707 | mode & 070))) ;;
*) [ -z "$wanted" ] || mode=$((0$wanted & 07777)) ;;
esac
[ "$user" = "$was_user" ] || mode=$((mode & 03777))
[ "$group" = "$was_group" ] || mode=$((mode & (05707 | (mode & 7) << 3)))
e=$(chmod "$(printf %o "$mode")" "$draft" 2>&1) || end "failed $e"
end kept
