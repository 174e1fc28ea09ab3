//! Faults that the test-only worker injects, read from the variable [`VARIABLE`].

use serde::{Deserialize, Serialize};

/// The variable that holds a [`Plan`] as JSON.
pub const VARIABLE: &str = "EVONIC_TEST_FAULT";

/// The variable that names a file into which the program writes, at the beginning of `main`, its
/// pid and the nanoseconds since 1970.
pub const STAMP: &str = "EVONIC_TEST_STAMP";

/// Which workers do what wrong.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Proposed generations up to this one misbehave; later ones are sound.
    pub until_generation: u64,
    /// What they do.
    pub fault: Fault,
}

/// A fault.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Fault {
    /// The real worker, with a thread that opens descriptors and never closes them.
    Leak {
        /// What is leaked.
        leaked: Leaked,
        /// How many a second.
        per_second: u32,
        /// From when on, after the start.
        after_ms: u64,
    },
    /// The real worker, with descriptors opened and closed in a sawtooth that its account does not
    /// know: honest load of a library.
    Sawtooth {
        /// How many at the top.
        height: u32,
        /// From top to top.
        period_ms: u64,
    },
    /// The real worker, whose threads of this name block.
    BlockThreads {
        /// How their names begin.
        name: String,
        /// From when on, after the start.
        after_ms: u64,
    },
    /// A program that speaks the control channel and does nothing else.
    Puppet(Puppet),
    /// Sleeps: the program that another supervisor runs in a comparison.
    Sleep,
    /// Exits with this code before its hello message.
    ExitAtStart {
        /// The exit code.
        code: i32,
    },
}

/// What is leaked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leaked {
    /// Connected TCP sockets to the worker's own address family: unconnected sockets.
    Sockets,
    /// Files named `leaked-file` in the state folder.
    Files,
    /// SQLite handles of a database named `leaked.db`.
    Sqlite,
    /// Pipes: two descriptors each.
    Pipes,
}

/// A program that speaks the control channel and does nothing else: it accepts no connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Puppet {
    /// Neither SIGTERM nor the drain message ends it.
    pub ignores_drain: bool,
    /// This part's proof grows older from heartbeat to heartbeat.
    pub late_part: Option<String>,
    /// It never becomes ready.
    pub never_ready: bool,
    /// It does not answer the probe.
    pub silent_probe: bool,
    /// It never accepts a connection, but else is sound: otherwise it accepts and closes.
    pub parks_accept: bool,
}
