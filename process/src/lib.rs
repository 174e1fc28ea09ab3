//! What both of evonic's processes do with their own descriptors.
//!
//! | Module | What it holds |
//! |---|---|
//! | [`channel`] | one end of the control channel |
//! | [`log`] | the output of the log: standard error or journald |
//!
//! # Invariants
//! - Nothing here waits longer than [`log::WRITE_TIMEOUT`], and no thread or runtime is needed.
//! - Formats are `evonic-shared`'s; nothing here decides what is written.

pub mod channel;
pub mod log;
