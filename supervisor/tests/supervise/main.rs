//! The real supervisor, with a stand-in for the worker: this very program, executed again.
//!
//! The real worker cannot be made to misbehave; the stand-in can. It speaks the contract of
//! `evonic-shared` and nothing else.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking, too")]

mod harness;
mod stand_in;

mod ends;
mod operators;
mod peers;
mod recycling;
mod starts;
mod tampering;
