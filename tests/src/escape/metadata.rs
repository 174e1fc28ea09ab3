//! What belongs to a file beside its content: modes, owners, times, attributes, locks. Landlock has no
//! rights for them.

use super::{
    Attempt,
    Level::{Landlock, None},
};

pub(super) fn attempts() -> Vec<Attempt> {
    const CHANGE: &str =
        "change modes, owners, times and attributes of files of the service's user";
    const STATE: &str = "change modes of the service's own folders and keys, which it puts right";
    const SEE: &str = "see names, sizes and times of files that it knows the path of";
    const FLAGS: &str = "change flags and locks of files of the service's user";
    vec![
        Attempt::new("mode", CHANGE, r#"chmod 777 "$OUT/mode""#).own(Landlock),
        Attempt::new("mode-by-call", CHANGE, r#"native mode "$OUT/mode""#).own(Landlock),
        Attempt::new("mode-of-folder", CHANGE, r#"chmod 755 "$OUT/folder""#).own(Landlock),
        Attempt::new(
            "mode-by-link",
            CHANGE,
            r#"ln -s "$OUT/mode" mode-link && chmod 777 mode-link"#,
        )
        .own(Landlock),
        Attempt::new("owner", CHANGE, r#"chown "$(id -u)" "$OUT/mode""#).own(Landlock),
        Attempt::new("group", CHANGE, r#"chgrp "$(id -g)" "$OUT/mode""#).own(Landlock),
        Attempt::new("times", CHANGE, r#"touch -c -d @1 "$OUT/times" && [ -e "$OUT/times" ]"#)
            .own(Landlock),
        Attempt::new("times-by-call", CHANGE, r#"native times "$OUT/times""#).own(Landlock),
        Attempt::new("attribute", CHANGE, r#"native attribute "$OUT/mode""#).own(Landlock),
        Attempt::new("attribute-remove", CHANGE, r#"native remove-attribute "$OUT/mode""#)
            .own(Landlock),
        Attempt::new("mode-of-state", STATE, r#"[ -e "$STATE/evonic.db" ] && chmod 700 "$STATE""#)
            .own(Landlock),
        Attempt::new("mode-of-key", STATE, r#"chmod 600 "$STATE/admin.key""#).own(Landlock),
        Attempt::new("mode-of-sockets", STATE, r#"chmod 700 "$RUNTIME""#).own(Landlock),
        Attempt::new("mode-of-record", STATE, r#"chmod 700 "$OTHER""#).own(Landlock),
        Attempt::new("metadata", SEE, r#"native metadata "$OUT/secret""#).anybody(Landlock),
        Attempt::new("metadata-list", SEE, r#"native list-attributes "$OUT/times""#)
            .anybody(Landlock),
        Attempt::new("watch", SEE, r#"native watch "$OUT""#).anybody(Landlock),
        Attempt::new("flags", FLAGS, r#"native flags "$OUT/mode""#).own(None),
        Attempt::new("lock", FLAGS, r#"native lock "$OUT/mode""#).own(None),
    ]
}
