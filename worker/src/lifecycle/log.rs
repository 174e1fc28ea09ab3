//! The log, in the form that its reader wants.
//!
//! Under systemd lines go to journald by its own protocol: fields stay fields, and the severity
//! needs no prefix. That costs one descriptor; severity prefixes on standard error would cost none,
//! but leave the figures in the text. They stand in where journald cannot be reached.
//!
//! A reader that does not read, or is gone, costs lines and nothing else: no thread of the worker
//! waits for it longer than [`stderr::PATIENCE`].

mod journal;
mod machine;
mod stderr;

use std::{
    fmt,
    io::{self, IsTerminal},
    path::Path,
};

use evonic_shared::{
    config::LogFormat,
    log::{JOURNAL_SOCKET, Line, Severity},
};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Compact, Format, Writer},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
};

use self::{
    journal::Journal,
    machine::{Machine, now, severity},
    stderr::Stderr,
};

/// What lines call this program.
const PROGRAM: &str = "evonic";

/// Who reads standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// A person.
    Person,
    /// The journal.
    Journal,
    /// A file or a pipe.
    File,
}

impl Reader {
    /// Who reads this process's standard error. systemd names the journal's socket in
    /// `JOURNAL_STREAM` by device and inode (`systemd.exec(5)`).
    fn of_stderr() -> Self {
        let stream = std::env::var("JOURNAL_STREAM").ok();
        let status = rustix::fs::fstat(rustix::stdio::stderr());
        match (stream, status) {
            (Some(stream), Ok(status))
                if stream == format!("{}:{}", status.st_dev, status.st_ino) =>
            {
                Self::Journal
            }
            _ if io::stderr().is_terminal() => Self::Person,
            _ => Self::File,
        }
    }
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// With colours and time.
    Coloured,
    /// With time.
    Plain,
    /// With a severity in front that the journal reads.
    Prefixed,
    /// As JSON.
    Json,
    /// To journald by its own protocol.
    Native,
}

impl Style {
    fn of(format: LogFormat, reader: Reader) -> Self {
        match (format, reader) {
            (LogFormat::Json, _) | (LogFormat::Auto, Reader::File) => Self::Json,
            (LogFormat::Journal, _) | (LogFormat::Auto, Reader::Journal) => Self::Native,
            (LogFormat::Text, Reader::Journal) => Self::Prefixed,
            (LogFormat::Text, Reader::File) => Self::Plain,
            (LogFormat::Text | LogFormat::Auto, Reader::Person) => Self::Coloured,
        }
    }
}

/// Starts the log of this process, and says how its lines are written. A filter that cannot be
/// read was refused by the configuration; should one come here all the same, `info` stands in for
/// it.
pub(super) fn start(filter: &str, format: LogFormat) -> Style {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let mut style = Style::of(format, Reader::of_stderr());
    let machine = match style {
        Style::Json => Some(Machine::Json(Stderr::default())),
        Style::Native => Journal::open(Path::new(JOURNAL_SOCKET)).ok().map(Machine::Journal),
        Style::Coloured | Style::Plain | Style::Prefixed => None,
    };
    // Another log that was set before stays: only tests do that.
    if let Some(machine) = machine {
        let log = tracing_subscriber::registry().with(filter).with(machine);
        let _ = tracing::subscriber::set_global_default(log);
        return style;
    }
    let stderr = Stderr::default();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || stderr.clone())
        .with_ansi(style == Style::Coloured && !no_color())
        .log_internal_errors(false);
    let _ = match style {
        Style::Coloured | Style::Plain => {
            tracing::subscriber::set_global_default(log.compact().finish())
        }
        Style::Prefixed | Style::Json | Style::Native => {
            style = Style::Prefixed;
            let format = Format::default().compact().without_time().with_level(false);
            let prefixed = Prefixed { format: format.with_ansi(false) };
            tracing::subscriber::set_global_default(log.event_format(prefixed).finish())
        }
    };
    style
}

/// See no-color.org.
fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// One line for standard error without the log's machinery, for who cannot trust it any more.
pub(super) fn bare_line(style: Style, text: &str) -> String {
    match style {
        Style::Prefixed | Style::Native => format!("<3>{text}\n"),
        Style::Coloured | Style::Plain => now() + " ERROR evonic: " + text + "\n",
        Style::Json => Line {
            program: PROGRAM,
            severity: Severity::Error,
            target: PROGRAM.to_owned(),
            message: text.to_owned(),
            fields: Default::default(),
        }
        .to_json(&now()),
    }
}

/// Lines with the severity that `sd-daemon(3)` defines in front.
struct Prefixed {
    format: Format<Compact, ()>,
}

impl<S, N> FormatEvent<S, N> for Prefixed
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "<{}>", severity(*event.metadata().level()).priority())?;
        self.format.format_event(context, writer, event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_chooses_unless_the_configuration_does() {
        let styles = |format| {
            [Reader::Person, Reader::Journal, Reader::File].map(|reader| Style::of(format, reader))
        };
        assert_eq!(styles(LogFormat::Auto), [Style::Coloured, Style::Native, Style::Json]);
        assert_eq!(styles(LogFormat::Text), [Style::Coloured, Style::Prefixed, Style::Plain]);
        assert_eq!(styles(LogFormat::Json), [Style::Json; 3]);
        assert_eq!(styles(LogFormat::Journal), [Style::Native; 3]);
    }

    #[test]
    fn a_bare_line_has_the_form_of_the_others() {
        assert_eq!(bare_line(Style::Native, "late"), "<3>late\n");
        assert!(bare_line(Style::Plain, "late").ends_with(" ERROR evonic: late\n"));
        let line: serde_json::Value =
            serde_json::from_str(&bare_line(Style::Json, "late")).unwrap();
        assert_eq!((&line["level"], &line["message"]), (&"error".into(), &"late".into()));
    }
}
