//! The supervisor's log: one line a state change, on standard error.
//!
//! Under systemd a line goes to journald by its own protocol, as fields; to a terminal as text, and
//! elsewhere as JSON, unless the configuration says otherwise. A reader that does not read never
//! stops the supervisor: a line that does not fit in time is dropped, and the next one that fits
//! says how many were.

use std::{
    env,
    error::Error,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
};

use evonic_process::log::Output;
use evonic_shared::{
    config::LogFormat,
    error_chain::ErrorChain,
    log::{Fields, Line},
};
use tracing::{Event, Metadata, Subscriber, level_filters::LevelFilter, span};

/// What lines call this program.
const PROGRAM: &str = "evonic-supervisor";

/// A subscriber that ignores spans.
#[derive(Debug, Default)]
struct Log {
    lost: AtomicU32,
}

/// How much is logged; a reload changes it.
static LEVEL: RwLock<LevelFilter> = RwLock::new(LevelFilter::INFO);

/// Where lines go; a reload changes it.
static OUTPUT: RwLock<Option<Output>> = RwLock::new(None);

fn current() -> LevelFilter {
    *LEVEL.read().unwrap_or_else(PoisonError::into_inner)
}

fn set_level(level: LevelFilter) {
    *LEVEL.write().unwrap_or_else(PoisonError::into_inner) = level;
    tracing::callsite::rebuild_interest_cache();
}

/// Installs the log for the process, at `info`; a second call changes nothing. Until the
/// configuration is read, `EVONIC_LOG_FORMAT` alone can say how lines are written.
pub fn install() {
    let variable = env::var("EVONIC_LOG_FORMAT").unwrap_or_default();
    let format = LogFormat::ALL.into_iter().find(|format| variable == format.name());
    set_format(format.unwrap_or(LogFormat::Auto));
    // Only a second call can fail.
    let _ = tracing::subscriber::set_global_default(Log::default());
}

/// Applies the configured format.
pub fn set_format(format: LogFormat) {
    let output = Output::new(format);
    let mut current = OUTPUT.write().unwrap_or_else(PoisonError::into_inner);
    if current.as_ref().is_none_or(|current| current.style != output.style) {
        *current = Some(output);
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
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let mut fields = Fields::default();
        event.record(&mut fields);
        if lost > 0 {
            fields.others.insert("lines_lost".to_owned(), lost.into());
        }
        let metadata = event.metadata();
        let line =
            Line { program: PROGRAM, level: *metadata.level(), target: metadata.target(), fields };
        let output = OUTPUT.read().unwrap_or_else(PoisonError::into_inner);
        if output.as_ref().is_some_and(|output| output.write(&line).is_err()) {
            self.lost.fetch_add(lost.saturating_add(1), Ordering::Relaxed);
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
