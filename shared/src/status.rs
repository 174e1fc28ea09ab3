//! The status socket (`RUNTIME_DIR/supervisor.sock`): requests, replies, and every type in them.
//!
//! A client writes one JSON [`RequestLine`], at most [`MAX_REQUEST_BYTES`]; it gets one JSON
//! reply a line: what was asked for, or [`Reply::Error`]. `watch` answers with a [`Status`] at once and
//! again at each change, until the client leaves. A client that sends nothing and half-closes
//! gets `status`, so `nc -UN` is a client.

mod census;
mod line;
mod replacement;
mod tampering;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    named::named,
    store_report::{StorageReport, StoreReport},
};

pub use self::{
    census::{Census, Count, PostMortem},
    line::{CommandToken, RequestLine, TOKEN_FILE},
    replacement::{Exit, Replacement, Restarts},
    tampering::{Measure, Tampering},
};

/// Version of this format. It grows when a field changes its meaning or goes; new fields may come
/// without it.
pub const FORMAT: u32 = 1;

/// The longest request line, in bytes.
pub const MAX_REQUEST_BYTES: usize = 4096;

/// A request of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The current status.
    Status,
    /// The last replacements, newest first.
    History {
        /// At most this many; all that are kept (200) when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
    },
    /// The worker's descriptors, counted now.
    Census,
    /// The status at once and at each change.
    Watch,
    /// Replace the worker, without a gap.
    Restart {
        /// Whether the reply is how it ended, instead of that it has begun.
        #[serde(default, skip_serializing_if = "is_false")]
        wait: bool,
    },
    /// Stop accepting, finish what runs, stop both processes.
    Drain,
    /// Read the configuration again; replace the worker.
    Reload {
        /// As of `restart`.
        #[serde(default, skip_serializing_if = "is_false")]
        wait: bool,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// A reply to a client.
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
        /// Changes that somebody made to the supervisor, newest first: those that are kept (50).
        #[serde(default)]
        tampering: Vec<Tampering>,
    },
    /// To `census`.
    Census(Census),
    /// To `restart`, `drain` and `reload`: it has begun.
    Accepted {
        /// [`FORMAT`].
        format: u32,
        /// The request's `op`.
        op: String,
    },
    /// To `restart` and `reload` that wait: a worker that started after the request serves.
    Replaced {
        /// [`FORMAT`].
        format: u32,
        /// The request's `op`.
        op: String,
        /// The new worker's generation.
        generation: u64,
    },
    /// The request was refused.
    Error {
        /// [`FORMAT`].
        format: u32,
        /// `malformed`, `too_long`, `forbidden`, `unavailable`, `invalid`, `failed`.
        code: ErrorCode,
        /// A sentence for people.
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
    /// The peer is neither root nor one of the service's user with the token.
    Forbidden,
    /// There is no worker to answer about, or too many clients are connected.
    Unavailable,
    /// The configuration that a reload read is refused; the old one stays in force.
    Invalid,
    /// The new worker of a `restart` or `reload` that waits did not become ready.
    Failed,
}

named! {
    /// The supervisor's state.
    State {
        /// The first worker is not ready yet.
        Starting = "starting",
        /// One worker, ready.
        Running = "running",
        /// A replacement starts, or the predecessor ends.
        Recycling = "recycling",
        /// Workers die faster than they become ready; the next start waits.
        CrashLoop = "crash_loop",
        /// One worker after the other leaks soon after its start. Each serves until the next is ready,
        /// whose start is delayed more and more.
        LeakLoop = "leak_loop",
        /// Both processes are stopping.
        Stopping = "stopping",
    }
}

/// A worker's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// Started, not ready.
    Starting,
    /// Serving.
    Ready,
    /// Stopping.
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
    /// Its state.
    pub state: State,
    /// Seconds since the supervisor started.
    pub uptime_seconds: f64,
    /// The held listeners.
    pub listeners: Vec<Listener>,
    /// The worker that serves, or serves next; null between two.
    pub worker: Option<Worker>,
    /// The worker that is ending; null when none is.
    pub predecessor: Option<Worker>,
    /// Replacements by reason, over the supervisor's own restarts.
    pub restarts: Restarts,
    /// The last replacement.
    pub last_restart: Option<Replacement>,
    /// Seconds until the next start, while backing off.
    pub next_start_seconds: Option<f64>,
    /// Why the last start failed, while in `crash_loop` or `starting`.
    pub last_error: Option<String>,
    /// The last change that somebody made to the supervisor itself.
    #[serde(default)]
    pub last_tampering: Option<Tampering>,
}

/// A listener that the supervisor holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// `http` or `api`.
    pub name: String,
    /// `127.0.0.1:8420`, or a path.
    pub address: String,
    /// Connections that no worker has accepted yet; null where the kernel does not know (Unix
    /// sockets).
    pub accept_queue: Option<u32>,
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// Its pid.
    pub pid: u32,
    /// Its generation.
    pub generation: u64,
    /// Its state.
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
    /// What keeps commands of local workplaces inside: `namespaces`, `landlock` or `none`; null until
    /// the worker has tried it, and where such commands are refused.
    #[serde(default)]
    pub sandbox: Option<String>,
    /// What is wrong with its database; null while nothing is, and until the worker has said so.
    #[serde(default)]
    pub database: Option<StoreReport>,
    /// How large its database is, as its last heartbeat said; null until the worker has said so.
    #[serde(default)]
    pub storage: Option<StorageReport>,
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
    /// No proof of life yet.
    Unknown,
    /// Its last proof of life is younger than the heartbeat timeout.
    Ok,
    /// Its last proof of life is older.
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
    /// Upper bound of the descriptors it owns, as its hello declares.
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
