//! Whether the peer of a Unix socket is an operator or a command of an agent.
//!
//! On the `local` workplace commands run as the service's user, whom its sockets trust. The mark of a
//! command must be inherited by whatever it starts, and must survive an empty environment, a new
//! session and the end of its parent. A hard resource limit does: commands have no bytes in message
//! queues (`RLIMIT_MSGQUEUE`, getrlimit(2)), and only root can raise a hard limit.

/// The file with the limits of a process, readable for everybody.
pub fn limits_path(pid: u32) -> String {
    format!("/proc/{pid}/limits")
}

/// Whether the content of [`limits_path`] is of a command of an agent. Without the limit in it the
/// answer is yes: the process has ended, or hides.
pub fn is_command(limits: &str) -> bool {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max msgqueue size"));
    line.and_then(|line| line.split_whitespace().nth(1)).is_none_or(|hard| hard == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hard_limit_of_zero_is_a_command() {
        let limits = |soft: &str, hard: &str| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max pending signals       94926                94926                signals   \n\
                 Max msgqueue size         {soft:<20} {hard:<20} bytes     \n"
            )
        };
        assert!(!is_command(&limits("819200", "819200")));
        assert!(!is_command(&limits("0", "819200")), "it can be raised again");
        assert!(!is_command(&limits("unlimited", "unlimited")));
        assert!(is_command(&limits("0", "0")));
        assert!(is_command(""));
    }

    #[test]
    fn this_process_is_no_command() {
        assert!(!is_command(&std::fs::read_to_string(limits_path(std::process::id())).unwrap()));
    }
}
