//! The life of a worker: start, control channel, heartbeat, drain, backstop.
//!
//! ```text
//! take descriptors -> resolve budget -> open store -> register and lock generation -> hello
//!   -> start agents -> start server -> ready -> heartbeats
//!   -> drain: stop accepting, hand over turns, end streams, close store, exit 0
//! ```
//!
//! The control channel is served by a plain thread, so that a drain is heard and heartbeats say
//! how old each part's proof is even when the runtime is blocked. The backstop is another plain
//! thread, started before the runtime: at grace minus one second it logs what is still held and
//! ends the process with [`ExitCode::Backstop`].

mod backstop;
mod control;
mod heart;
mod inherited;

use evonic_shared::{config::Config, exit::ExitCode};

/// Runs `evonic worker` to its end. Called once, from the main thread, before any other is
/// started.
pub fn run(config: Config) -> ExitCode {
    let _ = config;
    todo!()
}
