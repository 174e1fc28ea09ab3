//! The form of a line, chosen by who reads standard error unless the configuration says.

use crate::config::LogFormat;

/// Who reads standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A person, at a terminal with colours.
    ColourTerminal,
    /// A person, at a terminal without.
    PlainTerminal,
    /// journald.
    Journal,
    /// A file or a pipe.
    File,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Text with colours: `2026-11-03T12:30:05.120Z  INFO evonic::agent: message key=value`.
    Coloured,
    /// The same without colours.
    Plain,
    /// `<6>message key=value`: journald reads the severity (`sd-daemon(3)`).
    Prefixed,
    /// One JSON object a line.
    Json,
    /// A datagram to journald, in its own protocol.
    Native,
}

impl Style {
    /// The style of a configured format for this reader.
    pub const fn new(format: LogFormat, reader: Reader) -> Self {
        match (format, reader) {
            (LogFormat::Json, _) | (LogFormat::Auto, Reader::File) => Self::Json,
            (LogFormat::Journal, _) | (LogFormat::Auto, Reader::Journal) => Self::Native,
            (LogFormat::Text, Reader::Journal) => Self::Prefixed,
            (LogFormat::Text | LogFormat::Auto, Reader::ColourTerminal) => Self::Coloured,
            (LogFormat::Text, Reader::File) | (_, Reader::PlainTerminal) => Self::Plain,
        }
    }
}

/// What `JOURNAL_STREAM` holds where standard error is this file (`systemd.exec(5)`).
pub fn journal_stream(device: u64, inode: u64) -> String {
    format!("{device}:{inode}")
}
