//! The kinds of descriptor that the worker owns.

use serde::{Deserialize, Serialize};

/// What a descriptor of the worker is for. The budget bounds each kind separately.
///
/// The order is the order of the slots on the fd page, and [`Kind::ALL`] is sent in the
/// worker's hello by name: a supervisor of another version reads the page by those names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A connection of a client: TCP or Unix socket.
    Http,
    /// A SQLite file: database, write-ahead log, shared memory, and parked descriptors.
    Sqlite,
    /// A connection to a model's endpoint.
    Model,
    /// A file or folder of a workplace while a tool reads or writes it.
    File,
    /// A script of this machine's shell: its pipes and its pidfd.
    Child,
    /// A connection to an SSH host.
    Ssh,
    /// A connection to a Docker engine.
    Docker,
}

impl Kind {
    /// Every kind, in the order of the fd page's slots.
    pub const ALL: [Kind; 7] =
        [Kind::Http, Kind::Sqlite, Kind::Model, Kind::File, Kind::Child, Kind::Ssh, Kind::Docker];

    /// The name on every wire: `http`, `sqlite`, `model`, `file`, `child`, `ssh`, `docker`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Http => "http",
            Kind::Sqlite => "sqlite",
            Kind::Model => "model",
            Kind::File => "file",
            Kind::Child => "child",
            Kind::Ssh => "ssh",
            Kind::Docker => "docker",
        }
    }

    /// The kind's slot on the fd page.
    #[must_use]
    pub const fn slot(self) -> usize {
        self as usize
    }

    /// Upper bound of the descriptors that one handle of this kind holds. Budgets are configured in
    /// handles (connections, commands); the fd page counts descriptors.
    #[must_use]
    pub const fn descriptors_per_handle(self) -> u32 {
        match self {
            Kind::Http | Kind::Model | Kind::File | Kind::Docker => 1,
            // Database and write-ahead log; the parked descriptor replaces the database's.
            Kind::Sqlite => 2,
            // While its script is started: both ends of three pipes.
            Kind::Child => 6,
            // The waker of its thread, and the socket; over a jump host a pair of them instead.
            Kind::Ssh => 3,
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
