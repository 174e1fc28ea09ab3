//! What the service knows and no command may.

use super::{
    Attempt,
    Level::{Landlock, None},
};

pub(super) fn attempts() -> Vec<Attempt> {
    const STATE: &str = "read and change the service's state: keys, the database";
    const NAMED: &str = "read secrets that the configuration or a workplace names";
    const MOVED: &str = "move folders of the workplace in which such secrets lie";
    vec![
        Attempt::new("admin-key", STATE, r#"reads "$STATE/admin.key""#).own(None),
        Attempt::new("database", STATE, r#"reads "$STATE/evonic.db""#).own(None),
        Attempt::new("database-write", STATE, r#"opens "$STATE/evonic.db-wal" || opens "$STATE/evonic.db""#)
            .own(None),
        Attempt::new("state-list", STATE, r#"ls "$STATE" | grep -q evonic.db"#).own(None),
        Attempt::new("configuration", STATE, r#"reads "$CONFIG""#).own(None),
        Attempt::new("configuration-write", STATE, r#"opens "$CONFIG""#).own(None),
        Attempt::new("tls-key", NAMED, r#"reads "$MORE/tls.key""#).own(None),
        Attempt::new("model-key", NAMED, r#"reads "$MORE/model.key""#).own(None),
        Attempt::new("host-password", NAMED, r#"reads "$MORE/password""#).own(None),
        Attempt::new("secret-link", NAMED, r#"ln -s "$MORE/tls.key" tls; reads tls"#).own(None),
        Attempt::new("secret-hard-link", NAMED, r#"ln "$MORE/tls.key" hard-tls && reads hard-tls"#).own(None),
        Attempt::new("secret-in-root", "read such secrets where they lie in the workplace", r#"reads "$HOME/deep/below/model.key""#)
            .own(Landlock),
        Attempt::new("secret-moved", MOVED, r#"mv "$HOME/deep" "$HOME/deeper" && mv "$HOME/deeper" "$HOME/deep""#)
            .anybody(Landlock),
        Attempt::new("secret-replaced", MOVED, r#"mv "$HOME/deep/below" "$HOME/deep/b" && mv "$HOME/deep/b" "$HOME/deep/below""#)
            .anybody(Landlock),
        Attempt::new("environment", "inherit keys, credentials or descriptors of the service", "env | grep -q 'evk_\\|CREDENTIALS\\|NOTIFY_SOCKET\\|LISTEN_FDS'"),
        Attempt::new("environment-of-service", STATE, r#"is "$SUPERVISOR" evonic-supervis && reads "/proc/$SUPERVISOR/environ" || is "$WORKER" evonic && reads "/proc/$WORKER/environ""#)
            .own(None),
        Attempt::new("environment-of-others", "read the environment and memory of other commands", r#"grep -lqs "$MARK-environment" /proc/[0-9]*/environ"#)
            .anybody(None),
        Attempt::new("arguments", "read argument lists of other processes", r#"is "$VICTIM" native && grep -q "$MARK" "/proc/$VICTIM/cmdline""#)
            .anybody(Landlock),
        Attempt::new("arguments-of-commands", "read argument lists of other processes", r#"grep -lqs "$MARK-command" $(ls -d /proc/[0-9]*/cmdline | grep -v /$$/)"#)
            .anybody(Landlock),
        Attempt::new("processes", "read argument lists of other processes", r#"is "$SUPERVISOR" evonic-supervis"#)
            .anybody(Landlock),
    ]
}
