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
    /// A bit a signal, the first at the right.
    ignored: u64,
    had_controlling: bool,
    had_input: bool,
}

impl Terminal {
    /// Must be called before anything changes what is done at a signal.
    pub fn at_start() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            ignored: ignored_signals(&status),
            had_controlling: has_controlling(),
            had_input: has_input(),
        }
    }

    /// Whether the program that started this one had it ignore this signal.
    pub fn was_ignored(&self, signal: Signal) -> bool {
        self.ignored & (1 << (signal as u32 - 1)) != 0
    }

    /// What a SIGHUP that has just come means.
    pub fn hangup(&self) -> Hangup {
        if self.was_ignored(Signal::SIGHUP) {
            Hangup::PassOver
        } else if (self.had_controlling && !has_controlling()) || (self.had_input && !has_input()) {
            Hangup::End
        } else {
            Hangup::Reload
        }
    }
}

/// `SigIgn` of `/proc/PID/status` (`proc_pid_status(5)`).
fn ignored_signals(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
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
        let terminal =
            Terminal { ignored: ignored_signals(status), had_controlling: false, had_input: false };
        assert!(terminal.was_ignored(Signal::SIGHUP) && terminal.was_ignored(Signal::SIGPIPE));
        assert!(!terminal.was_ignored(Signal::SIGINT));
        assert_eq!(terminal.hangup(), Hangup::PassOver);
        assert_eq!(Terminal { ignored: 0, ..terminal }.hangup(), Hangup::Reload);
        assert_eq!(ignored_signals("Name:\tevonic\n"), 0);
        // Rust ignores SIGPIPE.
        assert!(Terminal::at_start().was_ignored(Signal::SIGPIPE));
    }
}
