//! Processes: the supervisor, the worker, another one of the service's user, the runner and the
//! processes of another command.

use super::{Attempt, Level::None};

/// Whose: the variable of its pid, and the name of its program.
const PROCESSES: [(&str, &str, &str); 4] = [
    ("supervisor", "$SUPERVISOR", "evonic-supervis"),
    ("worker", "$WORKER", "evonic"),
    ("runner", "$RUNNER", "evonic-runner"),
    ("process", "$VICTIM", "native"),
];

/// Calls by their group: what gets through, and whether seccomp refuses them where no namespace does.
const CALLS: [(&str, bool, &[&str]); 3] = [
    (
        "signal processes of the service's user",
        false,
        &["signal", "signal-thread", "signal-queue", "signal-by-descriptor"],
    ),
    (
        "change limits and scheduling of processes of the service's user",
        true,
        &[
            "limit",
            "nice",
            "io-priority",
            "affinity",
            "scheduler",
            "scheduler-parameters",
            "scheduler-attributes",
            "nice-of-group",
            "memory-move",
            "pages-move",
            "memory-advice",
        ],
    ),
    (
        "trace processes of the service's user, and take their memory and descriptors",
        true,
        &["trace", "seize", "memory-read", "memory-write", "descriptor-of", "compare", "enter"],
    ),
];

/// Files of a process, and what changes nothing that matters.
const KNOBS: [(&str, &str); 5] = [
    ("oom_score_adj", "500"),
    ("autogroup", "0"),
    ("timerslack_ns", "50000"),
    ("coredump_filter", "0x33"),
    ("clear_refs", "4"),
];

pub(super) fn attempts() -> Vec<Attempt> {
    const MEMORY: &str = "read the memory of processes of the service's user by files of `/proc`";
    let mut attempts = Vec::new();
    for (whose, pid, program) in PROCESSES {
        for (what, is_refused, calls) in CALLS {
            for call in calls {
                let script = format!("on \"{pid}\" {program} {call}");
                let attempt = Attempt::new(format!("{whose}-{call}"), what, script);
                attempts.push(match call {
                    // Only root, and whoever is root of a namespace.
                    &"memory-advice" | &"enter" => attempt.refused(),
                    _ if is_refused => attempt,
                    _ => attempt.own(None).since(6),
                });
            }
        }
        let memory = format!("on \"{pid}\" {program} memory");
        attempts
            .push(Attempt::new(format!("{whose}-memory"), MEMORY, memory).own(None).sometimes());
        for (file, value) in KNOBS {
            let script = format!("is \"{pid}\" {program} && echo {value} > \"/proc/{pid}/{file}\"");
            let what = "change limits and scheduling by files of `/proc`";
            attempts
                .push(Attempt::new(format!("{whose}-{file}"), what, script).own(None).sometimes());
        }
    }
    let init = "look into the first process of its own sandbox";
    attempts.extend([
        Attempt::new("init-trace", init, "native process trace 1 || native process seize 1")
            .refused(),
        Attempt::new(
            "init-memory",
            init,
            "native process memory 1 || native process memory-read 1",
        )
        .refused(),
        Attempt::new("init-descriptor", init, "native process descriptor-of 1").refused(),
        Attempt::new("init-environment", init, "reads /proc/1/environ").refused(),
        Attempt::new(
            "group-signal",
            "signal processes of the service's user",
            "is \"$VICTIM\" native && kill -CONT -- \"-$VICTIM\"",
        )
        .own(None)
        .since(6)
        .sometimes(),
        Attempt::new(
            "all-nice",
            CALLS[1].0,
            "is \"$VICTIM\" native && renice -n 0 -u \"$(id -u)\"",
        ),
    ]);
    attempts
}
