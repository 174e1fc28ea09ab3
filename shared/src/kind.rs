//! The kinds of descriptor that the worker owns.

use crate::named::named;

named! {
    /// What a descriptor of the worker is for. The budget bounds each kind separately.
    ///
    /// The order is the order of the slots on the fd page, and [`Kind::ALL`] is sent in the
    /// worker's hello by name: a supervisor of another version reads the page by those names.
    Kind {
        /// A connection of a client: TCP or Unix socket.
        Http = "http",
        /// A SQLite file: database, write-ahead log, shared memory, and parked descriptors.
        Sqlite = "sqlite",
        /// A connection to a model's endpoint.
        Model = "model",
        /// A file or folder of a workplace while a tool reads or writes it.
        File = "file",
        /// A script of this machine's shell: its pipes and its pidfd.
        Child = "child",
        /// A connection to an SSH host.
        Ssh = "ssh",
        /// A connection to a Docker engine.
        Docker = "docker",
        /// A connection to an address from outside.
        Outbound = "outbound",
    }
}

impl Kind {
    /// The kind's slot on the fd page.
    pub const fn slot(self) -> usize {
        self as usize
    }

    /// Upper bound of the descriptors that one handle of this kind holds. Budgets are configured in
    /// handles (connections, commands); the fd page counts descriptors.
    pub const fn descriptors_per_handle(self) -> u32 {
        match self {
            Kind::Http | Kind::Model | Kind::File | Kind::Docker | Kind::Outbound => 1,
            // Database and write-ahead log; the parked descriptor replaces the database's.
            Kind::Sqlite => 2,
            // While its script is started: both ends of three pipes.
            Kind::Child => 6,
            // The waker of its thread, and the socket; over a jump host a pair of them instead.
            Kind::Ssh => 3,
        }
    }
}
