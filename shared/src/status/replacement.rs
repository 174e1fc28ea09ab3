//! Replacements of workers: counters and history.

use serde::{Deserialize, Serialize};

use crate::reason::Reason;

/// Replacements by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarts {
    /// All of them.
    pub total: u64,
    /// [`Reason::FdThreshold`].
    pub fd_threshold: u64,
    /// [`Reason::FdCeiling`].
    pub fd_ceiling: u64,
    /// [`Reason::FdUnexplained`].
    pub fd_unexplained: u64,
    /// [`Reason::Unhealthy`].
    pub unhealthy: u64,
    /// [`Reason::Crash`].
    pub crash: u64,
    /// [`Reason::Requested`].
    pub requested: u64,
}

impl Restarts {
    /// Each reason that is counted, with its count.
    pub const fn by_reason(&self) -> [(Reason, u64); 6] {
        [
            (Reason::FdThreshold, self.fd_threshold),
            (Reason::FdCeiling, self.fd_ceiling),
            (Reason::FdUnexplained, self.fd_unexplained),
            (Reason::Unhealthy, self.unhealthy),
            (Reason::Crash, self.crash),
            (Reason::Requested, self.requested),
        ]
    }

    /// Counts one replacement. [`Reason::Stop`] replaces nothing and is not counted.
    pub fn count(&mut self, reason: Reason) {
        let counter = match reason {
            Reason::FdThreshold => &mut self.fd_threshold,
            Reason::FdCeiling => &mut self.fd_ceiling,
            Reason::FdUnexplained => &mut self.fd_unexplained,
            Reason::Unhealthy => &mut self.unhealthy,
            Reason::Crash => &mut self.crash,
            Reason::Requested => &mut self.requested,
            Reason::Stop => return,
        };
        *counter += 1;
        self.total += 1;
    }
}

/// One replacement of a worker: an entry of the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replacement {
    /// When it was decided: RFC 3339, UTC, milliseconds.
    pub at: String,
    /// Generation of the replaced worker.
    pub generation: u64,
    /// Its pid.
    pub pid: u32,
    /// Why.
    pub reason: Reason,
    /// The finding as a sentence: `408 descriptors open, threshold 400`, `store has not checked
    /// in for 4.1 s`, `killed by SIGSEGV`.
    pub detail: String,
    /// How it ended.
    pub exit: Exit,
    /// Descriptors open at the decision.
    pub fd_open: u32,
    /// Milliseconds from the decision to the worker's death.
    pub took_ms: u64,
    /// Seconds it had lived.
    pub lived_seconds: f64,
    /// File name of the post-mortem in `STATE_DIR/post-mortems`, if one was taken.
    pub post_mortem: Option<String>,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Exit {
    /// It exited with this code.
    Code {
        /// The exit code.
        code: i32,
    },
    /// A signal ended it.
    Signal {
        /// `SIGKILL`, `SIGSEGV`, ...
        signal: String,
        /// Whether that was the supervisor's own SIGKILL after the grace period.
        after_grace: bool,
    },
    /// It could not be started at all.
    NotStarted {
        /// The OS error.
        error: String,
    },
}
