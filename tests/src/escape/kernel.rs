//! System calls that no command needs, privileges, and other ways to make one of those calls.

use super::{Attempt, Level::Landlock};

/// Namespaces within namespaces, by each call that makes or enters one.
const NAMESPACES: [&str; 8] = ["user", "mount", "pid", "net", "ipc", "uts", "cgroup", "time"];

/// Mounts.
const MOUNTS: [&str; 9] = [
    "mount",
    "bind-mount",
    "remount",
    "unmount",
    "open-tree",
    "new-filesystem",
    "mount-attributes",
    "pivot-root",
    "chroot",
];

/// Parts of the kernel that strangers have found holes in.
const SURFACE: [&str; 8] =
    ["bpf", "perf", "keyctl", "add-key", "request-key", "io-uring", "page-faults", "kernel-log"];

/// What only root may.
const PRIVILEGES: [&str; 15] = [
    "watch-files",
    "load-module",
    "new-kernel",
    "reboot",
    "clock",
    "host-name",
    "swap",
    "accounting",
    "quota",
    "become-root",
    "become-group",
    "groups",
    "packets",
    "raw-socket",
    "ports",
];

/// Numbers that another architecture gives the same calls.
const OTHER_NUMBERS: [&str; 5] =
    ["int80", "int80-keyctl", "int80-unshare", "x32-keyctl", "x32-unshare"];

pub(super) fn attempts() -> Vec<Attempt> {
    const WHAT: &str = "make and enter namespaces, and mount";
    const CALLS: &str =
        "use bpf, perf, keys, io_uring, userfaultfd and the calls of other architectures";
    const ROOT: &str = "gain privileges";
    let calls = |names: &[&str], what| -> Vec<Attempt> {
        let attempt = |name: &&str| Attempt::new(*name, what, format!("native kernel {name}"));
        names.iter().map(attempt).collect()
    };
    let mut attempts = Vec::new();
    for call in ["unshare", "clone", "setns"] {
        for kind in NAMESPACES {
            let script = format!("native kernel {call}-{kind}");
            let attempt = Attempt::new(format!("{call}-{kind}"), WHAT, script);
            // Whoever is in a namespace needs to be its root to enter it once more.
            attempts.push(if call == "setns" { attempt.refused() } else { attempt.sometimes() });
        }
    }
    attempts.extend(calls(&["clone3"], WHAT));
    attempts.extend(calls(&MOUNTS, WHAT).into_iter().map(Attempt::refused));
    attempts.extend(calls(&SURFACE, CALLS).into_iter().map(Attempt::sometimes));
    attempts.extend(calls(&OTHER_NUMBERS, CALLS).into_iter().map(Attempt::sometimes));
    attempts.extend(calls(&PRIVILEGES, ROOT).into_iter().map(Attempt::refused));
    attempts.extend([
        Attempt::new("user-program", WHAT, "unshare -Ur true || bwrap --ro-bind / / true"),
        Attempt::new("user-map", ROOT, "echo 0 0 1 > /proc/self/uid_map").refused(),
        Attempt::new(
            "capabilities",
            ROOT,
            "! grep -q '^CapEff:.0000000000000000$' /proc/self/status",
        )
        .refused(),
        Attempt::new("ambient", ROOT, "! grep -q '^CapAmb:.0000000000000000$' /proc/self/status")
            .refused(),
        Attempt::new("new-privileges", ROOT, "! grep -q '^NoNewPrivs:.1$' /proc/self/status"),
        Attempt::new("set-user-id", ROOT, "\"$MORE/elevated\" elevated"),
        Attempt::new(
            "inherited",
            "inherit keys, credentials or descriptors of the service",
            "native kernel descriptors",
        ),
        Attempt::new("raise-limit", "raise its limits", "native kernel raise-limit"),
        Attempt::new("more-files", "raise its limits", "ulimit -n $(($(ulimit -Hn) + 1))")
            .refused(),
        Attempt::new("core-dumps", "raise its limits", "ulimit -c unlimited"),
        Attempt::new(
            "terminal-type",
            "use the operator's terminal",
            "native type-into \"$TERMINAL\"",
        )
        .sometimes(),
        Attempt::new(
            "terminal-control",
            "use the operator's terminal",
            "setsid -w bash -c ': <> \"$TERMINAL\" && native type-into /dev/tty'",
        )
        .sometimes(),
        Attempt::new(
            "console-type",
            "use the operator's terminal",
            "native type-into-console /dev/tty || native type-into-console \"$TERMINAL\"",
        )
        .refused(),
        Attempt::new(
            "terminal-write",
            "write to the operator's terminal, and read from it",
            "opens \"$TERMINAL\"",
        )
        .own(Landlock),
        Attempt::new("terminal-list", "see which terminals there are", "[ -e \"$TERMINAL\" ]")
            .anybody(Landlock),
        Attempt::new("own-terminal", "use the terminal that started the service", ": <> /dev/tty")
            .refused(),
    ]);
    attempts
}
