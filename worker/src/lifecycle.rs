//! The life of a worker: start, control channel, heartbeat, drain, watchdog.
//!
//! ```text
//! start    configuration as the supervisor accepted it -> log -> descriptors taken -> signals blocked -> watchdog thread -> control thread
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
//! A worker that cannot start, or whose main thread has a defect, tells its supervisor why on the
//! control channel and ends with the exit code of the cause.
//!
//! An order to end that comes during the start is obeyed right after it. SIGPIPE is ignored, as
//! Rust's runtime does from the start: a write to a closed connection is an error of that write.

mod budget_hook;
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
mod signals;
mod start;
mod watchdog;

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use evonic_process::channel::Channel;
use evonic_shared::{
    config::Config,
    control::{FromWorker, reason_line},
    error_chain::ErrorChain,
    exit::ExitCode,
};

use self::{error::StartError, inherited::Inherited};

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
    let inherited = match Inherited::take() {
        Ok(inherited) => inherited,
        Err(error) => return fail(&error.into(), None),
    };
    let channel = Arc::clone(&inherited.control);
    let life = || start::start(config, style, inherited).map(start::Worker::live);
    let ended = catch_unwind(AssertUnwindSafe(life))
        .unwrap_or_else(|panic| Err(StartError::Defect { message: message_of(&*panic) }));
    ended.unwrap_or_else(|error| fail(&error, Some(&channel)))
}

/// Says why this process cannot go on, in the log and to the supervisor; its exit code.
fn fail(error: &StartError, supervisor: Option<&Channel>) -> ExitCode {
    let reason = ErrorChain(error).to_string();
    tracing::error!(reason, "worker cannot start");
    if let Some(supervisor) = supervisor {
        report(supervisor, &reason);
    }
    error.exit_code()
}

fn report(supervisor: &Channel, reason: &str) {
    let said = supervisor.send(&FromWorker::Failed { reason: reason_line(reason) });
    if let Err(error) = said {
        tracing::debug!(%error, "nobody hears why this worker ends");
    }
}

/// Tells the supervisor, if there is one, why this process ends without having begun: nothing of it
/// has taken over what is inherited.
pub fn refuse(reason: &str) {
    if let Ok(inherited) = Inherited::take() {
        report(&inherited.control, reason);
    }
}

/// What a panic said.
fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it gave no reason").to_owned()
}
