//! The record of another command, which its runner owns: each file of it replaced by each kind.

use super::{Attempt, Level::None};

/// What a record has in it.
const FILES: [&str; 5] = ["record", "socket", "out", "status", "tmp"];

/// What may come in its place.
const KINDS: [&str; 7] = ["link", "hardlink", "fifo", "folder", "file", "socket", "device"];

pub(super) fn attempts() -> Vec<Attempt> {
    const WHAT: &str = "change the records of commands";
    let mut attempts = Vec::new();
    for file in FILES {
        for kind in KINDS {
            let script = format!("replace \"$OTHER/{file}\" {kind}");
            let attempt = Attempt::new(format!("record-{file}-{kind}"), WHAT, script);
            // No user but root makes devices.
            attempts.push(if kind == "device" { attempt } else { attempt.own(None) });
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
        Attempt::new("record-follow", WHAT, "native connect-packets \"$OTHER/socket\"").own(None),
    ]);
    attempts
}
