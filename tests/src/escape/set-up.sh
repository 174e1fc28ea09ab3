# shellcheck shell=bash
# What attempts are made on. Variables come from the test.
mkdir -p "$OUT/folder" "$OUT/empty" "$MORE" "$SOCKETS" "$PRIVATE" "$ROOT/deep/below"
for name in secret file cut removed moved mode times swapped over loop folder/within; do
	echo "$MARK" >"$OUT/$name"
done
for secret in "$MORE/model.key" "$MORE/password" "$ROOT/deep/below/model.key"; do
	echo "$MARK" >"$secret"
done
[ -e "$MORE/tls.key" ] || echo "$MARK" >"$MORE/tls.key"
for folder in /dev/shm /tmp /var/tmp; do
	echo "$MARK" >"$folder/$MARK"
	chmod 644 "$folder/$MARK"
done
printf '#!/bin/sh\nexit 0\n' >"$OUT/program"
chmod 755 "$ROOT/native"
chmod 600 "$OUT/secret" "$MORE"/* "$ROOT/deep/below/model.key"
chmod 700 "$OUT/folder" "$OUT/program"
cp "$ROOT/native" "$MORE/elevated"
chmod 755 "$OUT" "$MORE" "$SOCKETS"
chmod 777 "$SOCKETS"
chmod 700 "$PRIVATE"
if [ "$(id -u)" = 0 ]; then
	chown -R "$SERVICE_USER" "$OUT" "$MORE" "$SOCKETS" "$PRIVATE"
	chown -R "$COMMAND_USER" "$ROOT"
	chown "$SERVICE_USER" "$ROOT/deep/below/model.key"
	# What makes root of whoever starts it.
	chown 0:0 "$MORE/elevated"
	chmod 4755 "$MORE/elevated"
	as() { setpriv --reuid "${SERVICE_USER%:*}" --regid "${SERVICE_USER#*:}" --clear-groups "$@"; }
else
	as() { "$@"; }
fi
# Elsewhere than in the workplace: there it would be the agent's.
cp "$ROOT/native" "$SOCKETS/native"
cd "$OUT" || exit
# shellcheck disable=SC2016 # the inner shell expands it
MARKED=$MARK-environment as setsid bash -c 'exec "$0" victim "$@" 9<secret' "$SOCKETS/native" \
	"@$MARK" "$SOCKETS/docker.sock" "$SOCKETS/bus" "$SOCKETS/agent" "$PRIVATE/terminals" \
	"$PRIVATE/display" >"$SOCKETS/terminal" 2>/dev/null </dev/null &
pid=$!
tries=0
until [ -s "$SOCKETS/terminal" ]; do
	tries=$((tries + 1))
	[ "$tries" -lt 500 ]
	sleep 0.01
done
# setsid forks where it leads a group.
# shellcheck disable=SC2013 # it is one line of words
for child in $(cat "/proc/$pid/task/$pid/children" 2>/dev/null); do pid=$child; done
echo "$pid $(cat "$SOCKETS/terminal")" >"$SOCKETS/victim"
