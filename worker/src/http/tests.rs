//! The room over real sockets: plain blocking clients against the real accept loop.

#![expect(clippy::disallowed_methods, reason = "tests are the clients")]

mod client;
mod closing;
mod full;
mod house;
mod refusals;
