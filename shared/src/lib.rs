//! What evonic's two processes exchange, and what both of them need.
//!
//! | Module | What it holds |
//! |---|---|
//! | [`kind`] | the kinds of descriptor that the worker owns |
//! | [`fd_page`] | the layout of the page with the worker's descriptor counts |
//! | [`hand_over`] | names of the descriptors and variables a worker inherits |
//! | [`control`] | messages on the channel between supervisor and worker |
//! | [`status`] | the status socket: requests, replies, and every type in them |
//! | [`reason`] | why a worker was replaced |
//! | [`store_report`] | what is wrong with the worker's database |
//! | [`exit`] | exit codes of both programs |
//! | [`backoff`] | delays between attempts |
//! | [`error_chain`] | an error with its causes in one line |
//! | [`escape`] | what others wrote, made visible on a terminal |
//! | [`config`] | the configuration file that both read |
//! | [`log`] | the forms of a log line |
//! | [`timestamp`] | RFC 3339 |
//!
//! # Invariants
//! - `shared` performs no I/O: it turns bytes into types and back.
//! - Decoders never panic, whatever bytes they are given, and bound what they accept.
//! - A wire type whose meaning changes raises its version: [`control::PROTOCOL`],
//!   [`status::FORMAT`].

#![warn(missing_docs)]

pub mod backoff;
pub mod config;
pub mod control;
pub mod error_chain;
pub mod escape;
pub mod exit;
pub mod fd_page;
#[doc(hidden)]
pub mod fuzzing;
pub mod hand_over;
pub mod kind;
pub mod log;
mod named;
pub mod reason;
pub mod status;
pub mod store_report;
pub mod timestamp;
