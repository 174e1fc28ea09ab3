//! The configuration file that both processes read.
//!
//! One TOML file: `--config`, else `$EVONIC_CONFIG`, else `./evonic.toml`, else
//! `/etc/evonic/evonic.toml`, else defaults. Every key has a default. Reading it is the caller's
//! (`shared` performs no I/O): [`Config::resolve`] takes the text and the environment and reports
//! all faults at once, each with file, line and key.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use crate::kind::Kind;

/// The resolved configuration. Both processes resolve the same text to the same values.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `listen`, env `EVONIC_LISTEN`: where HTTP is served; port 0 lets the kernel choose.
    /// Only loopback addresses are accepted. Default `127.0.0.1:8420`.
    pub listen: SocketAddr,
    /// `state_dir`, env `EVONIC_STATE_DIR`: database, history, post-mortems, workplaces.
    /// Default: `$STATE_DIRECTORY`, else `/var/lib/evonic` for root, else
    /// `$XDG_STATE_HOME/evonic`, else `~/.local/state/evonic`.
    pub state_dir: PathBuf,
    /// `runtime_dir`, env `EVONIC_RUNTIME_DIR`: `supervisor.sock`, `api.sock`.
    /// Default: `$RUNTIME_DIRECTORY`, else `/run/evonic` for root, else
    /// `$XDG_RUNTIME_DIR/evonic`, else `STATE_DIR/run`.
    pub runtime_dir: PathBuf,
    /// `log`, env `EVONIC_LOG`: a filter of `tracing`: `info`, `evonic=debug,info`.
    /// Default `info`.
    pub log: String,
    /// `[fd]`.
    pub fd: Fd,
    /// `[supervisor]`.
    pub supervisor: Supervisor,
    /// `[budget]`: the most handles of each kind that the worker holds at once.
    pub budget: Budget,
    /// `[http]`.
    pub http: Http,
    /// `[store]`.
    pub store: Store,
    /// `[agents]`.
    pub agents: Agents,
    /// `[tools]`.
    pub tools: Tools,
    /// `[workplace]`: the local workplace.
    pub workplace: Workplace,
    /// `[models.NAME]`. `runbook` is always there and cannot be configured away.
    pub models: BTreeMap<String, OpenAi>,
}

/// `[fd]`: lines that the supervisor watches.
#[derive(Clone, Debug, PartialEq)]
pub struct Fd {
    /// Open descriptors at which the worker is replaced. Default: 400, or the declared budget
    /// and a quarter if that is more. Refused if not above the budget.
    pub threshold: u32,
    /// Open descriptors at which the worker gets SIGTERM at once. Default: four times the
    /// threshold. Refused if below the threshold.
    pub ceiling: u32,
    /// Descriptors that nobody accounts for at which the worker is replaced. Default 64.
    pub unexplained: u32,
    /// The worker's `RLIMIT_NOFILE`, lowered to the hard limit where that is less; refused at
    /// start if it does not reach the ceiling. Default 16384.
    pub limit: u32,
    /// The shortest pause between two counts while descriptors grow. Default 20 ms.
    pub min_interval: Duration,
    /// The longest pause between two counts. Default 2 s.
    pub max_interval: Duration,
}

/// `[supervisor]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Supervisor {
    /// The worker's program. Default: `evonic` beside the supervisor's own program.
    pub worker: Option<PathBuf>,
    /// From SIGTERM to SIGKILL. Default 10 s.
    pub grace: Duration,
    /// From start to ready. Default 10 s.
    pub start_timeout: Duration,
    /// Between two heartbeats. Default 2 s.
    pub heartbeat_interval: Duration,
    /// The age of a part's last proof at which it is late. Default 4 s.
    pub heartbeat_timeout: Duration,
    /// How long an accept queue may stand without shrinking. Default 2 s.
    pub accept_stall: Duration,
    /// The first backoff after a second crash in a row. Default 100 ms.
    pub backoff_base: Duration,
    /// The longest backoff. Default 30 s.
    pub backoff_cap: Duration,
    /// A worker that lived this long ends the row of crashes. Default 30 s.
    pub stable_after: Duration,
    /// Crashes in a row that make a crash loop. Default 5.
    pub crash_loop_after: u32,
}

/// `[budget]`: handles (connections, commands) of each kind. See
/// [`Kind::descriptors_per_handle`] for what each may hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Client connections. Default 128.
    pub http: u32,
    /// Database handles open at once, the writer's included. Default 9.
    pub sqlite: u32,
    /// Connections to model endpoints. Default 16.
    pub model: u32,
    /// Files and folders of workplaces. Default 32.
    pub file: u32,
    /// Running commands. Default 16.
    pub child: u32,
}

impl Budget {
    /// Handles of one kind.
    #[must_use]
    pub const fn handles(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Http => self.http,
            Kind::Sqlite => self.sqlite,
            Kind::Model => self.model,
            Kind::File => self.file,
            Kind::Child => self.child,
        }
    }

    /// Descriptors of one kind, at the most. SQLite has one more for its shared memory.
    #[must_use]
    pub const fn descriptors(&self, kind: Kind) -> u32 {
        let shared_memory = if matches!(kind, Kind::Sqlite) { 1 } else { 0 };
        self.handles(kind)
            .saturating_mul(kind.descriptors_per_handle())
            .saturating_add(shared_memory)
    }

    /// Descriptors of all kinds, at the most, with [`RUNTIME_DESCRIPTORS`].
    #[must_use]
    pub fn total(&self) -> u32 {
        Kind::ALL
            .iter()
            .fold(RUNTIME_DESCRIPTORS, |sum, &kind| sum.saturating_add(self.descriptors(kind)))
    }
}

/// What the worker needs beside its ledger: runtime, listeners, channels, lock file, log.
pub const RUNTIME_DESCRIPTORS: u32 = 32;

/// `[http]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    /// The most bytes of a request's line and headers. Default 16 KiB.
    pub max_header_bytes: u32,
    /// The most headers. Default 64.
    pub max_headers: u32,
    /// From a connection's first byte, or the last answer, to the end of the next headers.
    /// Default 10 s.
    pub header_timeout: Duration,
    /// The most bytes of a request's body. Default 1 MiB.
    pub max_body_bytes: u32,
    /// The longest pause within a request's body. Default 10 s.
    pub body_timeout: Duration,
    /// How long a keep-alive connection may stay idle. Default 60 s.
    pub idle_timeout: Duration,
    /// How long a draining worker waits for the next request of an idle connection, to answer it
    /// with `Connection: close`. Default 1 s.
    pub linger: Duration,
    /// Between two comments on an otherwise silent event stream. At most 15 s. Default 10 s.
    pub sse_heartbeat: Duration,
    /// Hosts beside loopback names that a request may name in `Host` and `Origin`. Default none.
    pub allowed_hosts: Vec<String>,
}

/// `[store]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    /// How long a handle waits for a lock of the database. Default 5 s.
    pub busy_timeout: Duration,
    /// How long a request waits for a handle before it is answered 503. Default 2 s.
    pub acquire_timeout: Duration,
    /// The most writes of one transaction. Default 256.
    pub batch: u32,
}

/// `[agents]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Agents {
    /// Turns that run at once. Default 8.
    pub workers: u32,
    /// Model replies a turn may take before it fails. Default 100.
    pub max_steps: u32,
    /// Queued turns of one session, above which a message is refused with 429. Default 100.
    pub max_queued: u32,
    /// How long model text and tool output are gathered before they are committed as one event.
    /// Default 50 ms.
    pub coalesce: Duration,
}

/// `[tools]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tools {
    /// The longest a command may run unless the call asks for less. Default 10 min.
    pub timeout: Duration,
    /// The most bytes of a command's output that its result keeps; head and tail share it.
    /// Default 64 KiB.
    pub max_output_bytes: u32,
    /// The most bytes that one `read_file` returns; the rest is told and can be asked for.
    /// Default 64 KiB.
    pub max_read_bytes: u32,
    /// Variables of the service's environment that commands inherit, beside `PATH`, `LANG` and
    /// `TZ`. Default none.
    pub environment: Vec<String>,
}

/// `[workplace]`: the local workplace.
#[derive(Clone, Debug, PartialEq)]
pub struct Workplace {
    /// The folder that agents work in. Default `STATE_DIR/workplace`.
    pub root: PathBuf,
    /// Whether paths of file tools must stay below the root. Default true.
    pub confined: bool,
}

/// `[models.NAME]`: an OpenAI-compatible Chat Completions endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenAi {
    /// Up to and with the version: `https://api.openai.com/v1`. Required.
    pub base_url: String,
    /// The model's name at the endpoint. Required.
    pub model: String,
    /// Where the key is; none when absent.
    pub key: Option<KeySource>,
    /// To connect. Default 10 s.
    pub connect_timeout: Duration,
    /// To the first byte of the answer, and between two pieces of it. Default 120 s.
    pub read_timeout: Duration,
    /// Retries of a transient failure. Default 4.
    pub retries: u32,
    /// Sampling temperature; the endpoint's own when absent.
    pub temperature: Option<f64>,
    /// The most tokens of a reply; the endpoint's own when absent.
    pub max_tokens: Option<u32>,
}

/// Where a secret is. The secret itself is never part of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// `key_env`: a variable of the environment.
    Env(String),
    /// `key_file`: a file, its surrounding white space removed.
    File(PathBuf),
    /// `key_credential`: a systemd credential: a file of this name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}
