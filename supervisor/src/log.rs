//! The supervisor's log: one line a state change, on standard error.
//!
//! Under systemd a line goes to journald by its own protocol, as fields; to a terminal as text, and
//! elsewhere as JSON, unless the configuration says otherwise. A reader that does not read never
//! stops the supervisor: a line that does not fit in time is dropped, and the next one that fits
//! says how many were.

use std::{
    env,
    error::Error,
    io::{self, IsTerminal, Write as _},
    os::unix::net::UnixDatagram,
    sync::{
        OnceLock,
        atomic::{AtomicU8, AtomicU32, Ordering},
    },
    time::SystemTime,
};

use evonic_shared::{
    config::LogFormat,
    error_chain::ErrorChain,
    log::{Fields, JOURNAL_SOCKET, Line, Reader, Style, journal_stream},
};
use rustix::event::{PollFd, PollFlags, Timespec};
use tracing::{Event, Level, Metadata, Subscriber, level_filters::LevelFilter, span};

/// How long a line may wait for its reader.
const WRITE_TIMEOUT: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// What lines call this program.
const PROGRAM: &str = "evonic-supervisor";

/// A subscriber that ignores spans.
#[derive(Debug)]
struct Log {
    lost: AtomicU32,
    /// [`None`] inside where journald cannot be reached.
    journal: OnceLock<Option<UnixDatagram>>,
}

/// How lines are written, as an index of [`Style::ALL`]; a reload changes it.
static STYLE: AtomicU8 = AtomicU8::new(0);

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

/// Installs the log for the process, at `info`; a second call changes nothing. Until the
/// configuration is read, `EVONIC_LOG_FORMAT` alone can say how lines are written.
pub fn install() {
    let formats = [LogFormat::Text, LogFormat::Json, LogFormat::Journal];
    let variable = env::var("EVONIC_LOG_FORMAT").ok();
    let format = formats.into_iter().find(|format| variable.as_deref() == Some(format.name()));
    set_format(format.unwrap_or(LogFormat::Auto));
    let log = Log { lost: AtomicU32::new(0), journal: OnceLock::new() };
    // Only a second call can fail.
    let _ = tracing::subscriber::set_global_default(log);
}

/// Applies the configured format.
pub fn set_format(format: LogFormat) {
    let style = Style::new(format, reader());
    let index = Style::ALL.iter().position(|&known| known == style);
    STYLE.store(index.and_then(|index| u8::try_from(index).ok()).unwrap_or(0), Ordering::Relaxed);
}

/// Who reads standard error.
fn reader() -> Reader {
    let stream = env::var("JOURNAL_STREAM").ok();
    let file = rustix::fs::fstat(rustix::stdio::stderr());
    if file.is_ok_and(|file| stream == Some(journal_stream(file.st_dev, file.st_ino))) {
        Reader::Journal
    } else if !io::stderr().is_terminal() {
        Reader::File
    } else if env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        Reader::PlainTerminal
    } else {
        Reader::ColourTerminal
    }
}

/// Applies the configured filter.
pub fn set_filter(filter: &str) {
    RANK.store(rank(level(filter)), Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
}

/// Logs why the program ends, whatever the filter: one line for each line of the message.
pub fn failure(error: &(dyn Error + 'static)) {
    RANK.fetch_max(rank(LevelFilter::ERROR), Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
    for line in ErrorChain(error).to_string().lines() {
        tracing::error!(target: "evonic_supervisor", "{line}");
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
        let mut fields = Fields::default();
        event.record(&mut fields);
        if lost > 0 {
            fields.others.insert("lines_lost".to_owned(), lost.into());
        }
        let metadata = event.metadata();
        let line =
            Line { program: PROGRAM, level: *metadata.level(), target: metadata.target(), fields };
        if self.write(&line).is_err() {
            self.lost.fetch_add(lost.saturating_add(1), Ordering::Relaxed);
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Log {
    fn write(&self, line: &Line<'_>) -> io::Result<()> {
        let index = usize::from(STYLE.load(Ordering::Relaxed));
        let style = Style::ALL[index.min(Style::ALL.len() - 1)];
        let encode = |style| line.encode(style, SystemTime::now());
        if style != Style::Native {
            return write_line(&encode(style));
        }
        match self.journal.get_or_init(|| open_journal().ok()) {
            Some(journal) => send(journal, &encode(Style::Native)),
            None => write_line(&encode(Style::Prefixed)),
        }
    }
}

fn open_journal() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(JOURNAL_SOCKET)?;
    Ok(socket)
}

/// Sends a datagram, waiting [`WRITE_TIMEOUT`] at the most; to a journald that was started anew it is
/// sent again.
fn send(journal: &UnixDatagram, datagram: &[u8]) -> io::Result<()> {
    let Err(error) = journal.send(datagram) else { return Ok(()) };
    if error.kind() == io::ErrorKind::WouldBlock {
        rustix::event::poll(&mut [PollFd::new(journal, PollFlags::OUT)], Some(&WRITE_TIMEOUT))?;
    } else {
        journal.connect(JOURNAL_SOCKET)?;
    }
    journal.send(datagram).map(drop)
}

/// Writes to standard error, waiting [`WRITE_TIMEOUT`] at the most. Standard error is shared with the
/// worker and with whoever started us, so it must not be made non-blocking.
fn write_line(line: &[u8]) -> io::Result<()> {
    let error = io::stderr();
    let mut polled = [PollFd::new(&error, PollFlags::OUT)];
    if rustix::event::poll(&mut polled, Some(&WRITE_TIMEOUT))? == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    error.lock().write_all(line)
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
