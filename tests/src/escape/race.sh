# shellcheck shell=bash
# Before names are exchanged: what links lead to, and what is there without them. Variables come from
# the test.
mkdir -p "$OUT/race" "$ROOT/folder"
for name in secret file; do
	echo "$MARK-raced" >"$OUT/race/$name"
	echo inside >"$ROOT/folder/$name"
done
echo inside >"$ROOT/race"
ln -s "$OUT/race/secret" "$ROOT/race-link"
ln -s "$OUT/race" "$ROOT/folder-link"
cat >"$ROOT/race.sh" <<'END'
echo begun >racing
./native exchange-long race race-link &
./native exchange-long folder folder-link &
wait
END
chmod 644 "$ROOT/race.sh"
if [ "$(id -u)" = 0 ]; then
	chown -R "$SERVICE_USER" "$OUT/race"
	chown -hR "$COMMAND_USER" "$ROOT"/race* "$ROOT"/folder*
fi
