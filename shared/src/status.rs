//! The status socket (`RUNTIME_DIR/supervisor.sock`): requests, replies, and every type in them.
//!
//! A client writes one JSON [`Request`] a line, at most [`MAX_REQUEST_BYTES`]; it gets one JSON
//! reply a line: what was asked for, or [`Reply::Error`]. `watch` answers with a [`Status`] at once and
//! again at each change, until the client leaves. A client that sends nothing and half-closes
//! gets `status`, so `nc -UN` is a client.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::reason::Reason;

/// Version of this format. It grows when a field changes its meaning or goes; new fields may come
/// without it.
pub const FORMAT: u32 = 1;

/// The longest request line, in bytes.
pub const MAX_REQUEST_BYTES: usize = 4096;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The state of now.
    Status,
    /// The last replacements, newest first.
    History {
        /// At most this many; all that are kept (200) when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
    },
    /// What the worker's descriptors are, counted now.
    Census,
    /// Status at once and at each change.
    Watch,
    /// Replace the worker, without a gap.
    Restart,
    /// Stop accepting, finish what runs, stop both processes.
    Drain,
    /// Read the configuration again; replace the worker.
    Reload,
}

/// What a client gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "a reply is made, encoded and dropped at once")]
pub enum Reply {
    /// To `status` and `watch`.
    Status(Status),
    /// To `history`.
    History {
        /// [`FORMAT`].
        format: u32,
        /// Newest first.
        entries: Vec<Replacement>,
    },
    /// To `census`.
    Census(Census),
    /// To `restart`, `drain` and `reload`: it has begun.
    Accepted {
        /// [`FORMAT`].
        format: u32,
        /// What was begun.
        op: String,
    },
    /// The request was refused.
    Error {
        /// [`FORMAT`].
        format: u32,
        /// `malformed`, `too_long`, `forbidden`, `unavailable`, `invalid`.
        code: ErrorCode,
        /// A sentence for a person.
        message: String,
    },
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not JSON, not an object, or no known `op`.
    Malformed,
    /// The line is longer than [`MAX_REQUEST_BYTES`].
    TooLong,
    /// The peer is neither root nor the service's user.
    Forbidden,
    /// There is no worker to answer about, or too many clients are connected.
    Unavailable,
    /// The configuration that a reload read is refused; the old one stays in force.
    Invalid,
}

/// What the supervisor is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The first worker is not ready yet.
    Starting,
    /// One worker, ready.
    Running,
    /// A replacement is on its way, or the predecessor is ending.
    Recycling,
    /// Workers die faster than they become ready; the next start waits.
    CrashLoop,
    /// One worker after the other leaks soon after its start; each serves until the next is ready,
    /// which waits longer and longer.
    LeakLoop,
    /// Both processes are stopping.
    Stopping,
}

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// Started, not ready.
    Starting,
    /// It serves.
    Ready,
    /// Told to stop.
    Draining,
    /// SIGKILL was sent.
    Killed,
}

/// Reply to `status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// [`FORMAT`].
    pub format: u32,
    /// Version of the supervisor's package.
    pub version: String,
    /// The supervisor's pid.
    pub pid: u32,
    /// What it is doing.
    pub state: State,
    /// Seconds since the supervisor started.
    pub uptime_seconds: f64,
    /// The held listeners.
    pub listeners: Vec<Listener>,
    /// The worker that serves, or is to serve next; null between two.
    pub worker: Option<Worker>,
    /// The worker that is ending, if one is.
    pub predecessor: Option<Worker>,
    /// Replacements by reason, over the supervisor's own restarts.
    pub restarts: Restarts,
    /// The last replacement.
    pub last_restart: Option<Replacement>,
    /// Seconds until the next start, while backing off.
    pub next_start_seconds: Option<f64>,
    /// Why the last start failed, while in `crash_loop` or `starting`.
    pub last_error: Option<String>,
}

/// A listener that the supervisor holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// `http` or `api`.
    pub name: String,
    /// `127.0.0.1:8420`, or a path.
    pub address: String,
    /// Connections that no worker has accepted yet; null where the kernel does not tell
    /// (Unix sockets).
    pub accept_queue: Option<u32>,
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// Its pid.
    pub pid: u32,
    /// Its generation.
    pub generation: u64,
    /// What it is doing.
    pub state: WorkerState,
    /// Version from its hello; null before.
    pub version: Option<String>,
    /// Seconds since it was started.
    pub uptime_seconds: f64,
    /// Resident memory, bytes.
    pub rss_bytes: u64,
    /// Seconds since its last heartbeat; null before the first.
    pub last_heartbeat_seconds: Option<f64>,
    /// Health of its parts.
    pub health: Health,
    /// Its descriptors.
    pub fd: Descriptors,
}

/// Health of a worker's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The router.
    pub http: PartHealth,
    /// The database.
    pub store: PartHealth,
    /// The queue of turns.
    pub agents: PartHealth,
}

/// Health of one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartHealth {
    /// Not heard of yet.
    Unknown,
    /// It proved itself within the heartbeat timeout.
    Ok,
    /// It did not.
    Late,
}

/// A worker's descriptors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Descriptors {
    /// Open, as counted in `/proc`.
    pub open: u32,
    /// Owned by the worker, by kind.
    pub owned: BTreeMap<String, u32>,
    /// Open and not owned when the worker became ready: runtime, listeners, log.
    pub baseline: Option<u32>,
    /// The most it declared it will own, in all.
    pub budget: Option<u32>,
    /// Open, not owned, and not of the baseline.
    pub unexplained: Option<u32>,
    /// `fd.threshold`.
    pub threshold: u32,
    /// `fd.ceiling`.
    pub ceiling: u32,
    /// `fd.unexplained`.
    pub unexplained_limit: u32,
    /// The worker's soft `RLIMIT_NOFILE`.
    pub limit: u32,
    /// Growth of the unexplained rest, descriptors a second; 0 when flat.
    pub per_second: f64,
    /// Seconds until the threshold at that growth; null when flat.
    pub seconds_to_threshold: Option<f64>,
}

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
    #[must_use]
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
    /// Generation of the worker that went.
    pub generation: u64,
    /// Its pid.
    pub pid: u32,
    /// Why.
    pub reason: Reason,
    /// The finding in a sentence: `408 descriptors open, threshold 400`, `store has not checked
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
        /// The operating system's word for it.
        error: String,
    },
}

/// What a worker's descriptors are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Census {
    /// [`FORMAT`].
    pub format: u32,
    /// When: RFC 3339, UTC, milliseconds.
    pub at: String,
    /// Of which generation.
    pub generation: u64,
    /// Of which process.
    pub pid: u32,
    /// Open descriptors seen.
    pub open: u32,
    /// How many of each kind of object: `tcp`, `unix`, `pipe`, `file`, `eventfd`, ...; the most
    /// numerous first.
    pub kinds: Vec<Count>,
    /// The most numerous targets: a path, or a peer (`tcp 127.0.0.1:443`); at most 20.
    pub top: Vec<Count>,
}

/// A line of a census.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// What is counted.
    pub name: String,
    /// How many now.
    pub count: u32,
    /// How many more than when the worker became ready; may be negative.
    pub growth: i64,
}

/// A post-mortem file: `STATE_DIR/post-mortems/GENERATION-REASON.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PostMortem {
    /// [`FORMAT`].
    pub format: u32,
    /// Why the worker was replaced.
    pub reason: Reason,
    /// The finding in a sentence.
    pub detail: String,
    /// The most likely culprit in a sentence: the kind that grew most, and its top target.
    pub culprit: String,
    /// The descriptors at the trigger.
    pub fd: Descriptors,
    /// The census at the trigger, sorted by growth, the greatest first.
    pub census: Census,
    /// The census when the worker became ready, if it ever was.
    pub ready: Option<Census>,
}
