//! Where tools act: files and commands on this machine, on another one over SSH, or in a container.
//!
//! ```text
//!   tools, copies, `check`
//!          |
//!     dyn Backend   one trait: files, commands, transfers
//!      /   |   \
//!  Local  Ssh  Docker     each with the gate of its descriptors
//!      \   |   /
//!       Spool             commands that outlive worker, connection and engine: the same POSIX
//!          |              shell on all three
//!     dyn Shell           one script, run there, attached
//! ```
//!
//! # Invariants
//! - A command runs at most once. Its record is a folder on its own machine that only one shell
//!   can make; whoever comes later follows it there, by offset.
//! - Dropping a future never kills a command; only its `cancel` token, its time limit and its
//!   output limit do.
//! - A path of another machine is a [`RemotePath`]: completed by what that machine reported, never
//!   by this one's environment.
//! - A permanent error is told once. Only [`Class::Transient`] is ever tried again.
//! - Every descriptor is opened under a permit, and every connection has one owner.

mod copy;
mod registry;

pub use copy::{CopyError, Copying, Progress};
pub use evonic_backend::{
    Backend, Change, CheckStep, Class, CommandSpec, Download, End, Ended, Entry, FileType,
    Finished, Found, HostState, Lines, Match, Parts, RemotePath, Removal, Stat, Unknown, Upload,
    Verdict, WorkplaceError,
};
pub use evonic_docker::Engines;
pub use evonic_local::{Local, Protection, protections};
pub use registry::Workplaces;
