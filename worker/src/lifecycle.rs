//! The life of a worker: start, control channel, heartbeat, drain, watchdog.
//!
//! ```text
//! start    configuration as the supervisor accepted it -> log -> signals blocked -> descriptors taken -> watchdog thread -> control thread
//!            -> fd page mapped, budget made -> runtime -> folders, store opened
//!            -> generation registered in the database, then locked -> hello
//!            -> the first key, where there never was one
//!            -> models, workplace -> agents -> server -> every part proves itself once -> ready
//! life     heartbeats, orders
//! drain    draining said -> no new proofs -> server stops accepting and ends its streams while
//!            turns are handed over at their step boundaries -> store closed (checkpoint)
//!            -> runtime shut down, with a deadline -> exit 0
//! ```
//!
//! The control channel is served by a plain thread, so that a drain is heard and heartbeats say
//! how old each part's proof is even when the runtime is blocked. The watchdog is another plain
//! thread, started before the runtime and armed by the control thread the moment a drain is heard:
//! at grace minus one second it logs what is still held and ends the process with
//! [`ExitCode::Watchdog`]; five seconds after the supervisor was lost with
//! [`ExitCode::Orphaned`].
//!
//! Whatever is wrong with the database, the worker starts, and says so (`database`).
//!
//! An order to end that comes during the start is obeyed right after it. SIGPIPE is ignored, as
//! Rust's runtime does from the start: a write to a closed connection is an error of that write.

mod control;
pub(crate) mod database;
mod drain;
mod error;
pub(crate) mod first_key;
mod inherited;
mod liveness;
mod log;
mod raw;
mod shutdown_budget;
mod start;
mod watchdog;

use evonic_shared::{config::Config, exit::ExitCode};

/// The text of the configuration that this process's supervisor accepted and handed over, empty
/// where it found no file; nothing when there is no supervisor, or one that hands none over.
///
/// # Errors
/// The OS error when it cannot be read.
pub fn handed_configuration() -> std::io::Result<Option<String>> {
    inherited::configuration().map_err(std::io::Error::other)
}

/// Runs `evonic worker` to its end. Called once, from the main thread, before any other is
/// started.
pub fn run(config: Config) -> ExitCode {
    // What it makes is for its user alone, whoever started it.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let style = log::start(&config.log, config.log_format);
    match start::start(config, style) {
        Ok(worker) => worker.live(),
        Err(error) => {
            let sentence = evonic_shared::error_chain::ErrorChain(&error).to_string();
            tracing::error!(reason = sentence, "worker cannot start");
            error.exit_code()
        }
    }
}
