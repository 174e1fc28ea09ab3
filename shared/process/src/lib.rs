//! What both of evonic's processes do with their own descriptors and files.
//!
//! | Module | What it holds |
//! |---|---|
//! | [`cause`] | the exit code of an error of the system |
//! | [`channel`] | one end of the control channel |
//! | [`mod@file`] | small files, written whole or not at all |
//! | [`folder`] | the service's folders: owner, mode, whether they are still there |
//! | [`occupant`] | what is at a path where something is to be made |
//! | [`log`] | the output of the log: standard error or journald |
//! | [`program`] | where the other programs of this release are |
//!
//! # Invariants
//! - Nothing here but [`mod@file`] and [`folder`] waits longer than [`log::WRITE_TIMEOUT`], and no
//!   thread or runtime is needed.
//! - Formats are `evonic-shared`'s; nothing here decides what is written.

pub mod cause;
pub mod channel;
pub mod file;
pub mod folder;
pub mod log;
pub mod occupant;
pub mod program;
