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
            "memory-move",
            "memory-advice",
        ],
    ),
    (
        "trace processes of the service's user, and take their memory and descriptors",
        true,
        &["trace", "seize", "memory-read", "memory-write", "descriptor-of", "compare"],
    ),
];

pub(super) fn attempts() -> Vec<Attempt> {
    const MEMORY: &str = "read the environment and memory of other commands";
    const KNOBS: &str = "change limits and scheduling of processes of the service's user";
    let mut attempts = Vec::new();
    for (whose, pid, program) in PROCESSES {
        for (what, is_refused, calls) in CALLS {
            for call in calls {
                let script = format!("on \"{pid}\" {program} {call}");
                let attempt = Attempt::new(format!("{whose}-{call}"), what, script);
                attempts.push(if is_refused { attempt } else { attempt.own(None) });
            }
        }
        let memory = format!("on \"{pid}\" {program} memory");
        attempts
            .push(Attempt::new(format!("{whose}-memory"), MEMORY, memory).own(None).sometimes());
        for file in ["oom_score_adj", "autogroup", "timerslack_ns", "coredump_filter", "clear_refs"]
        {
            let script = format!("is \"{pid}\" {program} && opens \"/proc/{pid}/{file}\"");
            attempts
                .push(Attempt::new(format!("{whose}-{file}"), KNOBS, script).own(None).sometimes());
        }
    }
    let init = "trace the first process of its own sandbox";
    attempts.extend([
        Attempt::new("init-trace", init, "native process trace 1 || native process seize 1"),
        Attempt::new(
            "init-memory",
            init,
            "native process memory 1 || native process memory-read 1",
        ),
        Attempt::new("init-descriptor", init, "native process descriptor-of 1"),
        Attempt::new("init-environment", init, "reads /proc/1/environ"),
        Attempt::new(
            "all-signal",
            "signal processes of the service's user",
            "is \"$VICTIM\" native && kill -CONT -1",
        )
        .own(None)
        .sometimes(),
        Attempt::new("all-nice", KNOBS, "is \"$VICTIM\" native && renice -n 0 -u \"$(id -u)\""),
    ]);
    attempts
}
