//! The supervisor's log: one line a state change, on standard error.
//!
//! Under systemd a line goes to journald by its own protocol, as fields; to a terminal as text, and
//! elsewhere as JSON, unless the configuration says otherwise. A reader that does not read never
//! stops the supervisor: a line that does not fit in time is dropped, and the next one that fits
//! says how many were.

use std::{
    env,
    fmt::Write as _,
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
    log::{JOURNAL_SOCKET, Line, MAX_JSON_BYTES, Severity},
};
use rustix::event::{PollFd, PollFlags, Timespec};
use serde_json::{Map, Value};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

use crate::clock;

/// How long a line may wait for its reader.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// What lines call this program.
const PROGRAM: &str = "evonic-supervisor";

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// `2026-11-03T12:30:05.120Z INFO message key=value`
    Text,
    /// `<6>message key=value`: the journal reads the severity (`sd-daemon(3)`).
    Prefixed,
    /// An object a line.
    Json,
    /// A datagram to journald: one descriptor, from the first such line on.
    Native,
}

const STYLES: [Style; 4] = [Style::Text, Style::Prefixed, Style::Json, Style::Native];

impl Style {
    /// Standard error's reader chooses, unless the configuration does. systemd names the journal's
    /// socket in `JOURNAL_STREAM` by device and inode (`systemd.exec(5)`).
    fn of(format: LogFormat) -> Self {
        let journal = || {
            let stream = env::var("JOURNAL_STREAM").ok();
            rustix::fs::fstat(rustix::stdio::stderr())
                .is_ok_and(|s| stream.is_some_and(|t| t == format!("{}:{}", s.st_dev, s.st_ino)))
        };
        match format {
            LogFormat::Json => Self::Json,
            LogFormat::Journal => Self::Native,
            LogFormat::Text if journal() => Self::Prefixed,
            LogFormat::Text => Self::Text,
            LogFormat::Auto if journal() => Self::Native,
            LogFormat::Auto if io::stderr().is_terminal() => Self::Text,
            LogFormat::Auto => Self::Json,
        }
    }
}

/// A subscriber without spans.
#[derive(Debug)]
struct Log {
    lost: AtomicU32,
    /// The connection to journald; none where it cannot be reached.
    journal: OnceLock<Option<UnixDatagram>>,
}

/// How lines are written, as an index of [`STYLES`]; a reload changes it.
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
    let words = [LogFormat::Text, LogFormat::Json, LogFormat::Journal];
    let said = env::var("EVONIC_LOG_FORMAT").ok();
    let said = words.into_iter().find(|format| said.as_deref() == Some(format.word()));
    set_format(said.unwrap_or(LogFormat::Auto));
    let log = Log { lost: AtomicU32::new(0), journal: OnceLock::new() };
    // Only a second call can fail.
    let _ = tracing::subscriber::set_global_default(log);
}

/// Takes over the configuration's form of lines.
pub fn set_format(format: LogFormat) {
    let style = Style::of(format);
    let index = STYLES.iter().position(|&known| known == style);
    STYLE.store(index.and_then(|index| u8::try_from(index).ok()).unwrap_or(0), Ordering::Relaxed);
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
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let line = fields.line(*metadata.level(), metadata.target(), lost);
        if self.write(&line).is_err() {
            self.lost.fetch_add(lost.saturating_add(1), Ordering::Relaxed);
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Log {
    fn write(&self, line: &Line) -> io::Result<()> {
        let style = STYLES[usize::from(STYLE.load(Ordering::Relaxed)).min(STYLES.len() - 1)];
        let journal = || self.journal.get_or_init(|| open_journal().ok()).as_ref();
        match style {
            Style::Native => match journal() {
                Some(journal) => send(journal, &line.to_journal()),
                None => write_line(&encode(line, Style::Prefixed)),
            },
            style => write_line(&encode(line, style)),
        }
    }
}

fn open_journal() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(JOURNAL_SOCKET)?;
    Ok(socket)
}

/// Sends a datagram, waiting [`PATIENCE`] at the most; to a journald that was started anew it is
/// sent again.
fn send(journal: &UnixDatagram, datagram: &[u8]) -> io::Result<()> {
    let Err(error) = journal.send(datagram) else { return Ok(()) };
    if error.kind() == io::ErrorKind::WouldBlock {
        rustix::event::poll(&mut [PollFd::new(journal, PollFlags::OUT)], Some(&PATIENCE))?;
    } else {
        journal.connect(JOURNAL_SOCKET)?;
    }
    journal.send(datagram).map(drop)
}

/// Writes to standard error, waiting [`PATIENCE`] at the most. Standard error is shared with the
/// worker and with whoever started us, so it must not be made non-blocking.
fn write_line(line: &[u8]) -> io::Result<()> {
    let error = io::stderr();
    let mut polled = [PollFd::new(&error, PollFlags::OUT)];
    if rustix::event::poll(&mut polled, Some(&PATIENCE))? == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    error.lock().write_all(line)
}

/// A line for standard error: one event is one line, whatever it quotes.
fn encode(line: &Line, style: Style) -> Vec<u8> {
    let time = clock::rfc3339(SystemTime::now());
    let begin = match style {
        Style::Json => return line.to_json(&time).into_bytes(),
        Style::Text => {
            let word = line.severity.word().to_uppercase();
            format!("{time} {word:>5} ")
        }
        Style::Prefixed | Style::Native => format!("<{}>", line.severity.priority()),
    };
    let mut bytes = (begin + &line.to_text()).replace(['\n', '\r'], " ").into_bytes();
    bytes.truncate(MAX_JSON_BYTES - 1);
    bytes.push(b'\n');
    bytes
}

const fn severity(level: Level) -> Severity {
    match level {
        Level::ERROR => Severity::Error,
        Level::WARN => Severity::Warn,
        Level::INFO => Severity::Info,
        Level::DEBUG => Severity::Debug,
        Level::TRACE => Severity::Trace,
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn line(mut self, level: Level, target: &str, lost: u32) -> Line {
        if lost > 0 {
            self.others.insert("lines_lost".to_owned(), lost.into());
        }
        Line {
            program: PROGRAM,
            severity: severity(level),
            target: target.to_owned(),
            message: self.message,
            fields: self.others,
        }
    }

    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.others.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            _ => self.put(field, format!("{value:?}")),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            // Writing to a String cannot fail.
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        self.put(field, text);
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
        let fields = |message: &str| Fields {
            message: message.to_owned(),
            others: Map::from_iter([("generation".to_owned(), 3.into())]),
        };
        let line = fields("worker\nstarted").line(Level::WARN, "evonic_supervisor", 2);
        assert_eq!(
            encode(&line, Style::Prefixed),
            b"<4>worker started generation=3 lines_lost=2\n"
        );
        let json: Value = serde_json::from_slice(&encode(&line, Style::Json)).unwrap();
        assert_eq!((&json["level"], &json["lines_lost"]), (&"warn".into(), &2.into()));
        let long = fields(&"x".repeat(10_000)).line(Level::INFO, "evonic_supervisor", 0);
        for style in [Style::Text, Style::Json] {
            let line = encode(&long, style);
            assert!(line.len() <= MAX_JSON_BYTES && line.ends_with(b"\n"), "{style:?}");
        }
    }
}
