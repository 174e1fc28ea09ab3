//! The record of another command, which its runner owns: each file of it replaced by each kind.

use super::{
    Attempt,
    Level::{Landlock, None},
    sockets::SESSIONS,
};

/// What a record has in it.
const FILES: [&str; 5] = ["record", "socket", "out", "status", "tmp"];

/// What may come in its place.
const KINDS: [&str; 8] = ["link", "hardlink", "fifo", "folder", "file", "pid", "socket", "device"];

pub(super) fn attempts() -> Vec<Attempt> {
    const WHAT: &str = "change the records of commands";
    let mut attempts = Vec::new();
    for file in FILES {
        for kind in KINDS {
            let script = format!("replace \"$OTHER/{file}\" {kind}");
            let name = format!("record-{file}-{kind}");
            attempts.push(match kind {
                // No user but root makes any.
                "device" => Attempt::new(name, "make devices", script).refused(),
                _ => Attempt::new(name, WHAT, script).own(None),
            });
        }
    }
    let all = "ls \"$STATE/commands\" | grep -q .";
    attempts.extend([
        Attempt::new("record-list", WHAT, all).own(None),
        Attempt::new("record-make", WHAT, "mkdir \"$STATE/commands/new\"").own(None),
        Attempt::new(
            "record-away",
            WHAT,
            "mv \"$OTHER\" \"$OTHER.x\" && mv \"$OTHER.x\" \"$OTHER\"",
        )
        .own(None),
        Attempt::new("record-status", WHAT, "opens \"$OTHER/status\"").own(None),
        Attempt::new("record-output", WHAT, "reads \"$OTHER/out\"").own(None),
        Attempt::new("record-token", WHAT, "reads \"$OTHER/record\"").own(None),
        Attempt::new("record-follow", SESSIONS, "native connect-packets \"$OTHER/socket\"")
            .own(Landlock),
        Attempt::new("record-own", WHAT, "reads \"$STATE/commands/$EVONIC_CALL/record\"").own(None),
        Attempt::new("record-own-upwards", WHAT, "reads \"$OWN/../record\"").own(None),
        Attempt::new("record-own-link", WHAT, "ln -s ../record \"$OWN/link\"; reads \"$OWN/link\"")
            .own(None),
        Attempt::new("record-own-status", WHAT, "opens \"$OWN/../status\"").own(None),
        Attempt::new("record-own-socket", SESSIONS, "native connect-packets \"$OWN/../socket\"")
            .own(Landlock),
    ]);
    attempts
}
