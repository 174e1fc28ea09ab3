//! The terminal that this process was started at, and what a hang-up means to it.

use std::fs;

use nix::sys::signal::Signal;

/// What SIGHUP asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// It was ignored when this process was started, as `nohup` does.
    PassOver,
    /// The terminal is gone: nobody sees this process any more, or would find it to stop it.
    End,
    /// There was no terminal, or it is still there: somebody wants the configuration read again.
    Reload,
}

/// What the process had when it was started. No descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// SIGHUP was ignored.
    is_hangup_ignored: bool,
    had_controlling: bool,
    had_input: bool,
}

impl Terminal {
    /// Must be called before anything changes what is done at a signal.
    pub fn at_start() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            is_hangup_ignored: is_ignored(Signal::SIGHUP, &status),
            had_controlling: has_controlling(),
            had_input: has_input(),
        }
    }

    /// What a SIGHUP that has just come means.
    pub fn hangup(&self) -> Hangup {
        if self.is_hangup_ignored {
            Hangup::PassOver
        } else if (self.had_controlling && !has_controlling()) || (self.had_input && !has_input()) {
            Hangup::End
        } else {
            Hangup::Reload
        }
    }
}

/// Whether a signal is in the mask `SigIgn` of `/proc/PID/status` (`proc_pid_status(5)`).
fn is_ignored(signal: Signal, status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal as u32 - 1)) != 0)
}

/// Whether the session has a terminal: `tty_nr` of `/proc/PID/stat` (`proc_pid_stat(5)`).
fn has_controlling() -> bool {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may contain anything.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    fields.split_ascii_whitespace().nth(4).is_some_and(|number| number != "0")
}

/// Whether standard input is a terminal that has not hung up.
fn has_input() -> bool {
    rustix::termios::isatty(rustix::stdio::stdin())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        assert!(is_ignored(Signal::SIGHUP, status) && is_ignored(Signal::SIGPIPE, status));
        assert!(!is_ignored(Signal::SIGINT, status));
        assert!(!is_ignored(Signal::SIGHUP, "Name:\tevonic\n"));
        // Rust ignores SIGPIPE.
        let own = fs::read_to_string("/proc/self/status").unwrap();
        assert!(is_ignored(Signal::SIGPIPE, &own));
        let nohup = Terminal { is_hangup_ignored: true, had_controlling: true, had_input: true };
        assert_eq!(nohup.hangup(), Hangup::PassOver);
        let none = Terminal { is_hangup_ignored: false, had_controlling: false, had_input: false };
        assert_eq!(none.hangup(), Hangup::Reload);
    }
}
