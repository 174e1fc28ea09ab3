//! The workplaces of a worker: found by name, opened for a session, checked, copied between, closed.
//! Each is on this machine, on another one over SSH, or in a container.
//!
//! ```text
//!   tools, copies, `check`
//!          |
//!     dyn Backend   one trait: files, commands, transfers (evonic-backend)
//!      /   |   \
//!  Local  Ssh  Docker     a crate each, with the gateway of its descriptors
//!    |      \  /
//!  runner   Spool         commands that outlive worker, connection and engine: by a process of
//!             |           ours here, by the same POSIX shell on the other two
//!         dyn Shell       one script, run there, attached
//! ```
//!
//! | Part | Owns |
//! |---|---|
//! | [`Workplaces`] | every workplace of this worker, and its lifetime |
//! | [`ProbedLevel`] | what keeps commands of local workplaces inside |
//! | [`Copying`], [`Progress`], [`CopyError`] | copies between any two workplaces |
//!
//! # Invariants
//! - A command runs at most once.
//! - Dropping a future never kills a command; only its `cancel` token, its time limit and its
//!   output limit do.
//! - A permanent error is returned once. Only [`Class::Transient`] is ever tried again.
//! - Every descriptor is opened under a permit, and every connection has one owner.
//!
//! # Absent
//! - Speaks no protocol and opens no descriptor: the kinds do.
//! - Knows no tool, agent or route.

mod copy;
mod orphans;
mod probed_level;
mod registry;

pub use copy::{CopyError, Copying, Progress};
pub use evonic_backend::{
    Backend, BackendDeps, Change, CheckStep, Class, CommandSpec, Download, End, Ended, Entry,
    FileType, Finished, Found, HostState, Lines, Match, RemotePath, Removal, Rewrite, Stat,
    Unknown, Upload, Verdict, WorkplaceError, Written,
};
pub use evonic_docker::Engines;
pub use evonic_local::{Level, Local, Protection, protections};
pub use probed_level::ProbedLevel;
pub use registry::Workplaces;
