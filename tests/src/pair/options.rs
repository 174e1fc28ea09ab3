//! How a pair is started.

use std::path::PathBuf;

use crate::fault::{self, Plan};

/// Rate limits that no test meets: those of the product are for one client, and a test is many.
pub const NO_LIMITS: &str = "[limits]\nkey = [\"1000000/1s\"]\naddress = [\"1000000/1s\"]\n\
                         failed = [\"1000000/1s\"]\n";

/// How to start a pair.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// TOML after the harness's own keys. Without `[limits]` in it, none is ever met.
    pub config: String,
    /// Variables of both processes.
    pub environment: Vec<(String, String)>,
    /// What the worker does wrong: the test-only worker runs instead of the real one.
    pub fault: Option<Plan>,
    /// The supervisor's `RLIMIT_NOFILE`, soft and hard.
    pub limit: Option<u64>,
    /// Where standard error goes.
    pub log: LogTo,
    /// Where its programs are called, when that is not where they were built.
    pub programs: Option<PathBuf>,
    /// Who the pair is, with its own copy of the programs, when a test of root starts it as another
    /// user: user and group.
    pub user: Option<(u32, u32)>,
}

/// Where the log of a pair goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogTo {
    /// Into a file that [`super::Pair::log`] reads.
    #[default]
    File,
    /// Into a pipe that is never read.
    Unread,
    /// Into a pipe whose reader is gone.
    Closed,
}

impl Options {
    /// With this TOML.
    #[must_use]
    pub fn config(toml: &str) -> Self {
        Self { config: toml.to_owned(), ..Self::default() }
    }

    /// With this fault in the first generations.
    #[must_use]
    pub fn fault(mut self, until_generation: u64, fault: fault::Fault) -> Self {
        self.fault = Some(Plan { until_generation, fault });
        self
    }
}
