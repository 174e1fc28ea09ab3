//! What a command does to the service and to its operator; whether it got through is seen from outside.

use super::Attempt;

/// How a process hides from whoever ends its command: `$1` is what it is found by.
const HIDING: [(&str, &str); 6] = [
    ("session", r#"env -i setsid "$NATIVE" stay "$1" &"#),
    ("orphan", r#"( ( "$NATIVE" stay "$1" & ) & )"#),
    ("deaf", r#"trap '' HUP INT TERM; nohup "$NATIVE" stay "$1" & disown -a"#),
    ("stopped", r#"env -i setsid "$NATIVE" stay "$1" & kill -STOP $!"#),
    ("renamed", r#"( exec -a evonic-supervisor setsid "$NATIVE" stay "$1" ) &"#),
    ("forking", r#"for each in 1 2 3 4 5 6 7 8; do ( setsid "$NATIVE" stay "$1" & ) & done"#),
];

pub(super) fn attempts() -> Vec<Attempt> {
    const LEFT: &str = "leave a process behind that outlives its command";
    const BESIDE: &str = "give the operator a configuration by a file in the current folder";
    const GUESS: &str = "lock others on this machine out by guesses of keys";
    let hiding = HIDING.map(|(name, how)| {
        let script = format!("NATIVE=\"$HOME/native\"; set -- \"$MARK-left\"; {how}");
        Attempt::new(format!("left-{name}"), LEFT, script).after(r#"pgrep -f "$MARK-left""#)
    });
    let more = [
        Attempt::new("beside", BESIDE, r#"echo "state_dir = \"/tmp/$MARK-taken\"" > "$HOME/evonic.toml""#)
            .after(r#"[ -s "$ROOT/evonic.toml" ] || exit 0; cd "$ROOT"; env -i PATH="$PATH" "$EVONIC" config | grep "$MARK-taken""#),
        Attempt::new("guess", GUESS, r#"native guess-keys "$PORT""#).refused(),
        Attempt::new("guess-others", GUESS, r#"native guess-keys "$PORT""#)
            .after(r#"read -r key < "$STATE/admin.key"; ! EVONIC_KEY=$key "$EVONIC" $SERVER agent list | grep runbook"#),
    ];
    hiding.into_iter().chain(more).collect()
}
