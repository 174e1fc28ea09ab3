//! The supervisor's log: one line a state change, on standard error.
//!
//! Under systemd a line goes to journald by its own protocol, as fields; to a terminal as text, and
//! elsewhere as JSON, unless the configuration says otherwise. A reader that does not read, or a disk
//! that stalls, never stops the supervisor: a thread writes, [`MAX_WAITING`] lines wait for it at
//! most, what does not fit is dropped, and the next line that fits says how many were.

use std::{
    env,
    error::Error,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use evonic_process::log::Output;
use evonic_shared::{
    config::LogFormat,
    error_chain::ErrorChain,
    log::{Fields, Line},
};
use tracing::{Event, Metadata, Subscriber, level_filters::LevelFilter, span};

use crate::background::Background;

/// What lines call this program.
const PROGRAM: &str = "evonic-supervisor";

/// Lines that wait to be written. On standard error none is longer than a page.
const MAX_WAITING: usize = 256;

/// How long the end of the program waits for its last lines.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(200);

/// A subscriber that ignores spans.
#[derive(Debug, Default)]
struct Log;

/// A line on its way.
#[derive(Debug)]
struct Encoded {
    output: Arc<Output>,
    line: Vec<u8>,
    /// The lost lines that it tells of.
    tells: u32,
}

/// Lines that were dropped, and of which none has told.
static LOST: AtomicU32 = AtomicU32::new(0);

/// Writes the lines. [`None`] inside where no thread was to be had: then each line is written where
/// it is said.
static WRITER: OnceLock<Option<Background<Encoded>>> = OnceLock::new();

/// How much is logged; a reload changes it.
static LEVEL: RwLock<LevelFilter> = RwLock::new(LevelFilter::INFO);

/// Where lines go; a reload changes it.
static OUTPUT: RwLock<Option<Arc<Output>>> = RwLock::new(None);

fn current() -> LevelFilter {
    *LEVEL.read().unwrap_or_else(PoisonError::into_inner)
}

fn set_level(level: LevelFilter) {
    *LEVEL.write().unwrap_or_else(PoisonError::into_inner) = level;
    tracing::callsite::rebuild_interest_cache();
}

/// Installs the log for the process, at `info`; a second call changes nothing. Until the
/// configuration is read, `EVONIC_LOG_FORMAT` alone can say how lines are written.
///
/// Starts a thread: signals that a descriptor reads must be blocked by now.
pub fn install() {
    WRITER.get_or_init(|| Background::start("log", MAX_WAITING, Encoded::write).ok());
    let variable = env::var("EVONIC_LOG_FORMAT").unwrap_or_default();
    let format = LogFormat::ALL.into_iter().find(|format| variable == format.name());
    set_format(format.unwrap_or(LogFormat::Auto));
    // Only a second call can fail.
    let _ = tracing::subscriber::set_global_default(Log);
}

/// Waits a moment for the lines that are on their way.
pub fn flush() {
    if let Some(writer) = WRITER.get().and_then(Option::as_ref) {
        // What is not written by then waits for a reader that does not read.
        let _ = writer.flush(FLUSH_TIMEOUT);
    }
}

/// Applies the configured format.
pub fn set_format(format: LogFormat) {
    let output = Output::new(format);
    let mut current = OUTPUT.write().unwrap_or_else(PoisonError::into_inner);
    if current.as_ref().is_none_or(|current| current.style != output.style) {
        *current = Some(Arc::new(output));
    }
}

/// Applies the configured filter.
pub fn set_filter(filter: &str) {
    set_level(level(filter));
}

/// Logs why the program ends, whatever the filter.
pub fn failure(error: &(dyn Error + 'static)) {
    set_level(current().max(LevelFilter::ERROR));
    tracing::error!(target: "evonic_supervisor", "{}", ErrorChain(error));
}

/// The level that a filter of `tracing` gives to this program: its last directive that names
/// none, or this one, or a prefix of it. What it says about spans and fields is the worker's.
fn level(filter: &str) -> LevelFilter {
    let mut own = None;
    let mut general = None;
    for directive in filter.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        match directive.split_once('=') {
            None => general = directive.parse().ok().or(general),
            Some((target, level)) if "evonic_supervisor".starts_with(target.trim()) => {
                own = level.trim().parse().ok().or(own);
            }
            Some(_) => {}
        }
    }
    own.or(general).unwrap_or(LevelFilter::INFO)
}

impl Encoded {
    fn write(self) {
        if self.output.write_encoded(&self.line).is_err() {
            self.lose();
        }
    }

    /// Counts it, and what it would have told.
    fn lose(self) {
        LOST.fetch_add(self.tells.saturating_add(1), Ordering::Relaxed);
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= current()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(current())
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let output = OUTPUT.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(output) = output else { return };
        let lost = LOST.swap(0, Ordering::Relaxed);
        let mut fields = Fields::default();
        event.record(&mut fields);
        if lost > 0 {
            fields.others.insert("lines_lost".to_owned(), lost.into());
        }
        let metadata = event.metadata();
        let line =
            Line { program: PROGRAM, level: *metadata.level(), target: metadata.target(), fields };
        let encoded = Encoded { line: output.encode(&line), output, tells: lost };
        match WRITER.get().and_then(Option::as_ref) {
            Some(writer) => {
                if let Err(dropped) = writer.push(encoded) {
                    dropped.lose();
                }
            }
            None => encoded.write(),
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_a_shared_filter() {
        assert_eq!(level("info"), LevelFilter::INFO);
        assert_eq!(level("evonic=debug,info"), LevelFilter::DEBUG);
        assert_eq!(level("evonic_supervisor=trace,warn"), LevelFilter::TRACE);
        assert_eq!(level("hyper=trace,warn"), LevelFilter::WARN);
        assert_eq!(level("off"), LevelFilter::OFF);
        assert_eq!(level("[span{field=1}]=debug"), LevelFilter::INFO);
        assert_eq!(level(""), LevelFilter::INFO);
    }
}
