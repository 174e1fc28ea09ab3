//! The log of this process, in the form that its reader wants ([`evonic_shared::log`]).
//!
//! Under systemd lines go to journald by its own protocol: fields stay fields, and the severity
//! needs no prefix. That costs one descriptor; severity prefixes on standard error would cost none,
//! but leave the fields in the text. They stand in where journald cannot be reached.
//!
//! A reader that does not read, or is gone, costs lines and nothing else: no thread of the worker
//! waits for it longer than [`stderr::WRITE_TIMEOUT`].

mod journal;
mod layer;
mod stderr;

use std::{
    env,
    io::{self, IsTerminal},
    path::Path,
    time::SystemTime,
};

use evonic_shared::{
    config::LogFormat,
    log::{Fields, JOURNAL_SOCKET, Line, Reader, journal_stream},
};
use tracing::Level;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt};

pub(super) use evonic_shared::log::Style;

use self::{journal::Journal, layer::Output, stderr::Stderr};

/// What lines call this program.
const PROGRAM: &str = "evonic";

/// Starts the log and returns how its lines are written. The configuration refuses a filter that
/// cannot be read; should one come here all the same, `info` stands in for it.
pub(super) fn start(filter: &str, format: LogFormat) -> Style {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let mut style = Style::new(format, reader());
    let mut output = None;
    if style == Style::Native {
        output = Journal::open(Path::new(JOURNAL_SOCKET)).ok().map(Output::Journal);
        if output.is_none() {
            style = Style::Prefixed;
        }
    }
    let output = output.unwrap_or_else(|| Output::Stderr(Stderr::default(), style));
    let log = tracing_subscriber::registry().with(filter).with(output);
    // A log that was set before stays: only tests set one.
    let _ = tracing::subscriber::set_global_default(log);
    style
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
        // See no-color.org.
        Reader::PlainTerminal
    } else {
        Reader::ColourTerminal
    }
}

/// One line for standard error that needs no subscriber, for a caller that cannot trust it any
/// more.
pub(super) fn bare_line(style: Style, text: &str) -> Vec<u8> {
    let fields = Fields { message: text.to_owned(), ..Fields::default() };
    let style = if style == Style::Native { Style::Prefixed } else { style };
    Line { program: PROGRAM, level: Level::ERROR, target: PROGRAM, fields }
        .encode(style, SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_line_has_the_form_of_the_others() {
        assert_eq!(bare_line(Style::Native, "late"), b"<3>late\n");
        assert!(bare_line(Style::Plain, "late").ends_with(b" ERROR evonic: late\n"));
        let line: serde_json::Value =
            serde_json::from_slice(&bare_line(Style::Json, "late")).unwrap();
        assert_eq!((&line["level"], &line["message"]), (&"error".into(), &"late".into()));
    }
}
