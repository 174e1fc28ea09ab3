//! Who is at the other end of a Unix socket: an operator, or a command of an agent.
//!
//! On the `local` workplace commands have the user of the service, whom its sockets believe. What
//! tells them apart must be inherited by whatever a command starts, and must not be shaken off by
//! an empty environment, a session of its own or a parent that ends. A hard resource limit is that:
//! commands may have no bytes in message queues (`RLIMIT_MSGQUEUE`, see getrlimit(2)), and only
//! root can raise a hard limit.

/// Where the kernel tells the limits of a process, to everybody.
#[must_use]
pub fn limits_path(pid: u32) -> String {
    format!("/proc/{pid}/limits")
}

/// Whether the limits of a process, as the kernel tells them, are those of a command of an agent.
/// A text that does not say it is taken for one: who asks has ended, or hides.
#[must_use]
pub fn is_command(limits: &str) -> bool {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max msgqueue size"));
    line.and_then(|line| line.split_whitespace().nth(1)).is_none_or(|hard| hard == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hard_limit_of_zero_is_a_command() {
        let told = |soft: &str, hard: &str| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max pending signals       94926                94926                signals   \n\
                 Max msgqueue size         {soft:<20} {hard:<20} bytes     \n"
            )
        };
        assert!(!is_command(&told("819200", "819200")));
        assert!(!is_command(&told("0", "819200")), "it can be raised again");
        assert!(!is_command(&told("unlimited", "unlimited")));
        assert!(is_command(&told("0", "0")));
        assert!(is_command(""));
    }

    #[test]
    fn this_process_is_none() {
        assert!(!is_command(&std::fs::read_to_string(limits_path(std::process::id())).unwrap()));
    }
}
