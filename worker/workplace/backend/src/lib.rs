//! The trait of every workplace, its errors, and what is the same on all kinds.
//!
//! | Part | Owns |
//! |---|---|
//! | [`Backend`] and its data | files, commands, transfers: what each kind implements |
//! | [`WorkplaceError`], [`Stage`], [`Class`] | what failed, whether the host was reached, whether trying again may help |
//! | [`spool`] | commands that outlive the worker, by scripts of the POSIX shell |
//! | [`search`] | lists, searches and hashes by scripts, for machines that have only a shell |
//! | [`batch`] | many small files in one go, for machines that have only a shell |
//! | [`archive`] | `tar` archives, read as they come |
//! | [`RemotePath`], [`Home`] | paths of another machine |
//! | [`Rewrite`], [`Written`] | how a file that is there gets new content, and what it lost by that |
//! | [`lines`] | a range of lines of a file, in constant memory |
//! | [`unattended`] | what commands find in their environment because nobody sits before them |
//! | [`check`] | the steps of a check that are the same on every kind |
//!
//! # Invariants
//! - A command runs at most once. Its record is a folder on its own machine that only one shell
//!   can make; a later attempt follows it there, by offset.
//! - A [`RemotePath`] is completed by what that machine reported, never by this one's environment.
//!
//! # Absent
//! - Knows no kind of workplace: no SSH, no engine, no folder of this machine.
//! - Opens no descriptor.

pub mod archive;
mod backend;
pub mod batch;
pub mod check;
mod deps;
pub mod error;
#[doc(hidden)]
pub mod fuzzing;
pub mod lines;
mod remote;
mod rewrite;
pub mod search;
pub mod spool;
mod stage;
pub mod unattended;

pub use backend::{
    Backend, Change, CommandSpec, Commands, Download, Ended, Entry, FileType, Finished, Found,
    Lines, Match, Removal, Stat, Unknown, Upload,
};
pub use check::{CheckStep, Verdict};
pub use deps::{BackendDeps, End, HostState};
pub use error::{Class, Result, WorkplaceError};
pub use remote::{Home, RemotePath};
pub use rewrite::{KeepAnswer, KeepRequest, Rewrite, Written};
pub use stage::Stage;
