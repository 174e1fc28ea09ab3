//! What every workplace is: one trait, its errors, and what is the same on all kinds.
//!
//! # Invariants
//! - Knows no kind of workplace: no SSH, no engine, no folder of this machine.
//! - A command runs at most once. Its record is a folder on its own machine that only one shell
//!   can make; whoever comes later follows it there, by offset.
//! - A path of another machine is a [`RemotePath`]: completed by what that machine reported, never
//!   by this one's environment.

mod backend;
pub mod check;
pub mod error;
#[doc(hidden)]
pub mod fuzzing;
pub mod lines;
mod parts;
mod remote;
pub mod search;
pub mod spool;
mod stage;

pub use backend::{
    Backend, Change, CommandSpec, Download, Ended, Entry, FileType, Finished, Found, Lines, Match,
    Removal, Stat, Unknown, Upload,
};
pub use check::{CheckStep, Verdict};
pub use error::{Class, WorkplaceError};
pub use parts::{End, HostState, Parts};
pub use remote::{Home, RemotePath};
pub use stage::Stage;
