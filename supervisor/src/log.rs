//! The supervisor's log: one line a state change, on standard error.
//!
//! Under systemd a line begins with its severity (`<6>`, `sd-daemon(3)`) and journald adds the
//! time; elsewhere it begins with the time. A reader that does not read never stops the
//! supervisor: a line that does not fit in time is dropped, and the next one that fits says how
//! many were.

use std::{
    fmt::Write as _,
    io::Write as _,
    sync::atomic::{AtomicU8, AtomicU32, Ordering},
    time::SystemTime,
};

use rustix::event::{PollFd, PollFlags, Timespec};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

use crate::clock;

/// The longest line, in bytes: what a pipe takes whole.
const MAX_LINE_BYTES: usize = 4096;

/// How long a line may wait for its reader.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// How a line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `<6>message key=value`
    Journal,
    /// `2026-11-03T12:30:05.120Z INFO message key=value`
    Terminal,
}

/// A subscriber without spans.
#[derive(Debug)]
struct Log {
    style: Style,
    lost: AtomicU32,
}

/// How much is logged, as a [`LevelFilter`]'s rank; a reload changes it.
static RANK: AtomicU8 = AtomicU8::new(rank(LevelFilter::INFO));

const RANKS: [LevelFilter; 6] = [
    LevelFilter::OFF,
    LevelFilter::ERROR,
    LevelFilter::WARN,
    LevelFilter::INFO,
    LevelFilter::DEBUG,
    LevelFilter::TRACE,
];

const fn rank(level: LevelFilter) -> u8 {
    match level.into_level() {
        None => 0,
        Some(Level::ERROR) => 1,
        Some(Level::WARN) => 2,
        Some(Level::INFO) => 3,
        Some(Level::DEBUG) => 4,
        Some(Level::TRACE) => 5,
    }
}

/// Installs the log for the process, at `info`; a second call changes nothing.
pub fn install(style: Style) {
    // Only a second call can fail.
    let _ = tracing::subscriber::set_global_default(Log { style, lost: AtomicU32::new(0) });
}

/// Takes over the configuration's filter.
pub fn set_filter(filter: &str) {
    RANK.store(rank(level(filter)), Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
}

/// Says why the program ends, whatever the filter: one line for each line of the message.
pub fn failure(error: &dyn std::error::Error) {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String cannot fail.
        let _ = write!(message, ": {error}");
        cause = error.source();
    }
    RANK.fetch_max(rank(LevelFilter::ERROR), Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
    for line in message.lines() {
        tracing::error!("{line}");
    }
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

fn current() -> LevelFilter {
    RANKS[usize::from(RANK.load(Ordering::Relaxed)).min(RANKS.len() - 1)]
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
        let line = format_line(self.style, *event.metadata().level(), lost, |fields| {
            event.record(fields);
        });
        if write_line(&line).is_err() {
            self.lost.fetch_add(lost.saturating_add(1), Ordering::Relaxed);
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Writes to standard error, waiting [`PATIENCE`] at the most. Standard error is shared with the
/// worker and with whoever started us, so it must not be made non-blocking.
fn write_line(line: &[u8]) -> std::io::Result<()> {
    let error = std::io::stderr();
    let mut polled = [PollFd::new(&error, PollFlags::OUT)];
    if rustix::event::poll(&mut polled, Some(&PATIENCE))? == 0 {
        return Err(std::io::ErrorKind::WouldBlock.into());
    }
    error.lock().write_all(line)
}

fn format_line(style: Style, level: Level, lost: u32, record: impl FnOnce(&mut Fields)) -> Vec<u8> {
    let mut fields = Fields::default();
    record(&mut fields);
    let mut line = match style {
        Style::Journal => format!("<{}>", severity(level)),
        Style::Terminal => format!("{} {level:>5} ", clock::rfc3339(SystemTime::now())),
    };
    line.push_str(&fields.message);
    line.push_str(&fields.rest);
    if lost > 0 {
        let _ = write!(line, " lines_lost={lost}");
    }
    // One event is one line, whatever it quotes.
    let mut bytes: Vec<u8> = line.replace(['\n', '\r'], " ").into_bytes();
    bytes.truncate(MAX_LINE_BYTES - 1);
    bytes.push(b'\n');
    bytes
}

fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.rest, " {name}={value:?}"),
        };
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let _ = write!(self.rest, " {}=\"{value}", field.name());
        let mut cause = value.source();
        while let Some(error) = cause {
            let _ = write!(self.rest, ": {error}");
            cause = error.source();
        }
        self.rest.push('"');
    }
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

    #[test]
    fn one_bounded_line() {
        let line = format_line(Style::Journal, Level::WARN, 2, |fields| {
            fields.message = "worker\nstarted".into();
            fields.rest = " generation=3".into();
        });
        assert_eq!(line, b"<4>worker started generation=3 lines_lost=2\n");
        let long = format_line(Style::Terminal, Level::INFO, 0, |fields| {
            fields.message = "x".repeat(10_000);
        });
        assert_eq!((long.len(), long.last()), (MAX_LINE_BYTES, Some(&b'\n')));
    }
}
